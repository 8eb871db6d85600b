"""Boxes of voxels."""

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


def occupied_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds every True voxel, found in the order in which the voxels lie in memory."""
    order = np.argsort([-abs(stride) for stride in mask.strides], kind="stable")
    ordered = mask.transpose(order)
    along: NDArray[np.bool_] = np.asarray(ordered.any(axis=2))
    front: NDArray[np.bool_] = np.asarray(ordered.any(axis=0))
    hits = (along.any(axis=1), along.any(axis=0), front.any(axis=0))
    ranges = [slice(0, 0)] * 3
    for axis, hit in zip(order, hits, strict=True):
        where = np.flatnonzero(hit)
        if where.size == 0:
            return None
        ranges[axis] = slice(int(where[0]), int(where[-1]) + 1)
    return ranges[0], ranges[1], ranges[2]
