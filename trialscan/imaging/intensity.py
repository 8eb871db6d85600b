"""What is done to a volume's numbers, whatever the grid."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import ImagingError
from trialscan.imaging.volume import Volume


def clamp(volume: Volume, lower: float, upper: float) -> Volume:
    """Limit the numbers to [`lower`, `upper`], keeping their type; NaN becomes `lower` (`has_nan` tells of it).

    Raises
    ------
    ImagingError
        `lower` exceeds `upper`, or the voxels' type cannot hold a bound.
    """
    if not lower <= upper:
        raise ImagingError("intensity range", f"[{lower}, {upper}]", "a lower bound not above the upper one")
    array = volume.array
    if np.issubdtype(array.dtype, np.integer):
        limits = np.iinfo(array.dtype)
        low, high = np.clip([np.ceil(lower), np.floor(upper)], limits.min, limits.max).astype(array.dtype)
        return volume.with_array(np.clip(array, low, high))
    clamped = np.clip(array, array.dtype.type(lower), array.dtype.type(upper))
    return volume.with_array(np.where(np.isnan(clamped), array.dtype.type(lower), clamped))


def has_nan(volume: Volume) -> bool:
    """Whether any voxel is not a number."""
    return bool(np.isnan(volume.array).any()) if np.issubdtype(volume.array.dtype, np.floating) else False


def fill_nonfinite(array: NDArray[Any]) -> NDArray[Any]:
    """The array with its lowest number, 0 if it holds none, in place of NaN and infinities; itself without any."""
    if array.dtype.kind != "f":
        return array
    finite = np.isfinite(array)
    if finite.all():
        return array
    lowest = array[finite].min() if finite.any() else 0
    return np.where(finite, array, array.dtype.type(lowest))
