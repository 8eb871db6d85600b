"""Segments of a DICOM segmentation object put on an image's grid, voxel for voxel."""

import warnings
from pathlib import Path

import highdicom
import numpy as np
from numpy.typing import NDArray

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging.volume import Volume

_OFF_VOXEL = 0.02
_HALF = 0.5


def segment_masks(path: Path, like: Volume) -> dict[str, NDArray[np.bool_]]:
    """Masks (i, j, k) on `like`'s grid by the segment's label; segments of one label are one.

    A fractional segment holds the voxels that are at least half inside. The object may cover a part of the slices
    only, and in another order; its voxels must be the image's.

    Raises
    ------
    GeometryError
        The object's voxels are not voxels of the image.
    ImagingError
        The object cannot be read.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
            segmentation = highdicom.seg.segread(path)
            numbers = {int(number): _label(segmentation, number) for number in segmentation.segment_numbers}
            for number, label in sorted(numbers.items()):
                drawn = segmentation.get_volume(segment_numbers=[number])
                mask = _on_grid(path.name, drawn.array[..., 0] >= _HALF, drawn.affine, like)
                masks[label] = masks[label] | mask if label in masks else mask
    except (ValueError, AttributeError, KeyError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ImagingError(path.name, f"cannot be read: {reason}", "a DICOM segmentation of a volume") from error
    return masks


def _label(segmentation: highdicom.seg.Segmentation, number: int) -> str:
    return str(segmentation.get_segment_description(number).segment_label)


def _on_grid(where: str, drawn: NDArray[np.bool_], affine: NDArray[np.float64], like: Volume) -> NDArray[np.bool_]:
    """Set the image's voxels that the drawn ones are; `affine` maps indices of `drawn` to LPS mm."""
    mask = np.zeros(like.shape, dtype=np.bool_)
    # The distance to the next slice means nothing where there is none.
    step = (np.linalg.inv(like.affine[:3, :3]) @ affine[:3, :3])[:, np.array(drawn.shape) > 1]
    indices = np.argwhere(drawn)
    exact = like.to_index(indices @ affine[:3, :3].T + affine[:3, 3])
    nearest = np.rint(exact).astype(int)
    if (
        np.abs(step - np.rint(step)).max(initial=0.0) > _OFF_VOXEL
        or np.abs(exact - nearest).max(initial=0.0) > _OFF_VOXEL
    ):
        spacing = np.linalg.norm(affine[:3, :3], axis=0).round(3).tolist()
        raise GeometryError(
            where,
            f"voxels of {spacing} mm on another grid",
            f"the image's, {np.round(like.grid_spacing, 3).tolist()} mm",
        )
    if ((nearest < 0) | (nearest >= like.shape)).any():
        raise GeometryError(where, "voxels outside the image", f"a part of its {like.shape} voxels")
    mask[tuple(nearest.T)] = True
    return mask
