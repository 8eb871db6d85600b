"""Boxes of voxels."""

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


def occupied_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds every True voxel."""
    ranges = []
    for axis in range(3):
        hits = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if hits.size == 0:
            return None
        ranges.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return ranges[0], ranges[1], ranges[2]
