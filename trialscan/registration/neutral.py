"""Lesions taken out of the picture before alignment, so that one which grew or vanished does not pull at the lung."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatT = TypeVar("FloatT", np.float32, np.float64)

FILL_SIGMA_MM = 10.0
_WIDEST_SIGMAS = 4
_LEAST_WEIGHT = 1e-3


def without_lesions(
    array: NDArray[FloatT],
    organ: NDArray[np.bool_],
    lesions: NDArray[np.bool_],
    spacing_mm: NDArray[np.float64],
) -> NDArray[FloatT]:
    """The picture with each lesion voxel replaced by what the sound organ around it holds.

    The replacement is a Gaussian-weighted mean of sound organ voxels (normalised convolution, Knutsson & Westin 1993),
    of width `FILL_SIGMA_MM`, doubled where a lesion is too large for it; the organ's median where nothing is left.
    All arrays are (i, j, k) on one grid.
    """
    sound = organ & ~lesions
    if not lesions.any() or not sound.any():
        return array
    filled = array.copy()
    filled[lesions] = np.median(array[sound])
    left = lesions.copy()
    for power in range(_WIDEST_SIGMAS):
        sigma = FILL_SIGMA_MM * 2**power / spacing_mm
        weight = ndimage.gaussian_filter(sound.astype(np.float32), sigma, truncate=3)
        total = ndimage.gaussian_filter(np.where(sound, array, array.dtype.type(0)), sigma, truncate=3)
        reached = left & (weight > _LEAST_WEIGHT)
        filled[reached] = total[reached] / weight[reached]
        left &= ~reached
        if not left.any():
            break
    return filled
