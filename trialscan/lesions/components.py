"""Connected components of a lesion mask, those too small left out."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.imaging import Box, Volume, occupied_box
from trialscan.study.sections import LesionSettings

UNSURE_PERCENT = 25


@dataclass(frozen=True)
class Components:
    """Kept components as labels 1…n by falling size, the box of each, and the (m, 3) indices of what was dropped."""

    labels: NDArray[Any]
    counts: tuple[int, ...]
    boxes: tuple[Box, ...]
    dropped_count: int
    dropped: NDArray[np.int64]

    @property
    def dropped_voxels(self) -> int:
        """How many voxels were in components below the minimum."""
        return len(self.dropped)


def minimum_voxels(grid: Volume, settings: LesionSettings) -> int:
    """Fewest voxels of a lesion: from `minimum_ml`, or `minimum_pixels` where the grid has no millilitres."""
    if grid.is_planar or not grid.spacing_known:
        return settings.minimum_pixels
    # A size that equals the minimum up to rounding of the affine is kept.
    return max(1, math.ceil(settings.minimum_ml / grid.voxel_ml - 1e-6))


def find_components(mask: NDArray[np.bool_], minimum: int) -> Components:
    """Label the components of `mask` (i, j, k) that have at least `minimum` voxels.

    Voxels that share a face, an edge or a corner belong together (26 neighbours; 8 in a planar image). Labels run by
    falling voxel count, then by the position of the first voxel in array order.
    """
    box = occupied_box(mask)
    if box is None:
        return Components(np.zeros(mask.shape, np.uint8), (), (), 0, np.zeros((0, 3), np.int64))
    occupied = mask[box]
    every = np.empty(occupied.shape, np.int32)
    ndimage.label(occupied, structure=np.ones((3, 3, 3)), output=every)
    found = every[occupied]
    sizes = np.bincount(found)
    order = np.argsort(-sizes[1:], kind="stable") + 1
    kept = order[sizes[order] >= minimum]
    renumber = np.zeros(len(sizes), np.min_scalar_type(len(kept)))
    renumber[kept] = np.arange(1, len(kept) + 1)
    labels: NDArray[Any] = np.zeros(mask.shape, renumber.dtype)
    labels[box][occupied] = renumber[found]
    counts = tuple(int(sizes[label]) for label in kept)
    boxes = tuple((part[0], part[1], part[2]) for part in ndimage.find_objects(labels) if part is not None)
    small = np.argwhere(occupied & (labels[box] == 0)) + [axis.start for axis in box]
    return Components(labels, counts, boxes, len(order) - len(kept), small)


def unsure_voxels(percent: NDArray[Any], outlined: NDArray[np.bool_], minimum: int) -> NDArray[np.int64]:
    """Indices (m, 3) of spots where lesion is as likely as a quarter, but nothing was outlined.

    `percent` and `outlined` (i, j, k) are the model's probability and mask. Spots of fewer than `minimum` voxels, and
    those that hold an outlined voxel, whose rim they are, do not count.
    """
    box = occupied_box(percent >= UNSURE_PERCENT)
    if box is None:
        return np.zeros((0, 3), np.int64)
    likely = (percent[box] >= UNSURE_PERCENT) | outlined[box]
    spots, number = ndimage.label(likely, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(spots[likely], minlength=number + 1)
    unsure = sizes >= minimum
    unsure[0] = False
    unsure[spots[outlined[box]]] = False
    found: NDArray[np.int64] = np.argwhere(unsure[spots]) + [axis.start for axis in box]
    return found
