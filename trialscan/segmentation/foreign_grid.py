"""A scan handed to foreign code as a file, and its answer brought back to the scan's own grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from trialscan.errors import SegmentationError
from trialscan.imaging import Volume, fill_nonfinite, write_volume
from trialscan.segmentation.monai_metadata import MonaiFormat

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MOST_LABELS = 256
_TOLERANCE = 1e-3


def write_scan(volume: Volume, folder: Path) -> Path:
    """Write a scan as NIfTI, a planar one as PNG where its grey levels are bytes, else as NIfTI of two axes.

    Voxels that are no numbers take the lowest value of the scan, which networks can take.
    """
    clean = volume.with_array(fill_nonfinite(volume.array))
    if not volume.is_planar:
        path = folder / "scan.nii"
        write_volume(path, clean)
        return path
    picture = clean.array[..., 0]
    if picture.dtype == np.uint8:
        path = folder / "scan.png"
        Image.fromarray(np.ascontiguousarray(picture.T)).save(path)
        return path
    path = folder / "scan.nii"
    nib.Nifti1Image(picture, _LPS_TO_RAS @ volume.affine).to_filename(path)
    return path


def channels_to_labels(answer: Tensor, form: MonaiFormat) -> NDArray[np.uint8]:
    """Labels (i, j[, k]) of an answer (channels, i, j[, k]).

    One channel holds labels, or a region where the format names one only. Several hold shares of which the largest
    counts, or regions above one half of which later ones lie over earlier ones. Raises SegmentationError for labels
    that the format does not name.
    """
    found = answer.detach().cpu().numpy()
    if found.shape[0] > 1 and not form.overlapping:
        labels: NDArray[np.int64] = found.argmax(axis=0)
    elif found.shape[0] > 1:
        labels = np.zeros(found.shape[1:], dtype=np.int64)
        for channel, region in enumerate(found, start=1):
            labels[region > 0.5] = channel
    else:
        labels = np.rint(found[0]).astype(np.int64)
    if labels.min() < 0 or labels.max() >= min(len(form.labels), _MOST_LABELS):
        raise SegmentationError(
            form.answer, f"labels up to {labels.max()}", f"0 to {len(form.labels) - 1}, which channel_def names"
        )
    small: NDArray[np.uint8] = labels.astype(np.uint8)
    return small


def onto_grid(labels: NDArray[np.uint8], affine: object, volume: Volume, where: str) -> NDArray[np.uint8]:
    """Labels on the scan's grid: as they are where they lie on it, by the nearest voxel where not.

    affine : 4×4, indices to RAS mm, as MONAI keeps it; None, and for planar images, demands the scan's own shape.
    """
    on_axes = labels[..., None] if labels.ndim == 2 else labels
    own = _LPS_TO_RAS @ volume.affine
    if volume.is_planar or affine is None:
        if on_axes.shape != volume.shape:
            raise SegmentationError(
                where, f"an answer of shape {on_axes.shape}", f"the scan's {volume.shape}", "Its bundle lacks Invertd."
            )
        return np.ascontiguousarray(on_axes)
    to_answer = np.linalg.inv(np.asarray(affine, dtype=np.float64)) @ own
    if on_axes.shape == volume.shape and np.allclose(to_answer, np.eye(4), atol=_TOLERANCE):
        return np.ascontiguousarray(on_axes)
    moved: NDArray[np.uint8] = ndimage.affine_transform(
        on_axes, to_answer[:3, :3], to_answer[:3, 3], volume.shape, order=0, mode="constant", cval=0
    )
    return moved
