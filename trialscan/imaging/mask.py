"""Label masks: integers on the grid of the image that they belong to."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging.picture import read_picture_labels
from trialscan.imaging.read import image_suffix, read_volume
from trialscan.imaging.volume import Units, Volume

_LARGEST_LABEL = 65535
_PICTURES = {".png", ".jpg", ".jpeg"}


def read_mask(path: Path, like: Volume | None = None) -> Volume:
    """Read a label mask as uint8 (uint16 where labels exceed 255), with `like`'s exact grid when that is given.

    Raises
    ------
    ImagingError
        A value is no whole number from 0 to 65535, or the file cannot be read without loss.
    GeometryError
        The mask does not lie on `like`'s grid (shapes, or corners more than 0.01 mm apart).
    """
    path = Path(path)
    is_picture = image_suffix(path) in _PICTURES and path.exists()
    mask = read_picture_labels(path) if is_picture else read_volume(path)
    labels = Volume(_labels(path, mask.array), mask.affine, Units.LABEL, mask.spacing_known, mask.metadata)
    return labels if like is None else _on_grid(path, labels, like)


def _labels(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    wrong = ~((values >= 0) & (values <= _LARGEST_LABEL))
    if not np.issubdtype(values.dtype, np.integer):
        wrong |= values != np.floor(values)
    if wrong.any():
        examples = ", ".join(f"{value:g}" for value in np.unique(values[wrong])[:5])
        raise ImagingError(path.name, f"{int(wrong.sum())} voxels such as {examples}", "labels 0, 1, 2 … 65535")
    return values.astype(np.uint8 if values.max() <= 255 else np.uint16)


def _on_grid(path: Path, mask: Volume, like: Volume) -> Volume:
    if mask.shape != like.shape or (mask.spacing_known and like.spacing_known and not mask.same_grid(like)):
        raise GeometryError(
            path.name,
            f"a mask of shape {mask.shape} with affine {_rounded(mask)}",
            f"the image's grid: shape {like.shape} with affine {_rounded(like)}",
            "Export the mask on the image's own grid.",
        )
    return Volume(mask.array, like.affine, Units.LABEL, like.spacing_known, mask.metadata)


def _rounded(volume: Volume) -> list[list[float]]:
    rows: list[list[float]] = (volume.affine[:3].round(3) + 0.0).tolist()
    return rows
