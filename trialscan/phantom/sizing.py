"""Lesion sizes such that the voxels add up to a wanted burden."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.phantom.lesions import LesionShape

NEIGHBOURS = np.ones((3, 3, 3))
CLEANING_ROUNDS = 6
BISECTIONS = 40


def fit_radii(
    shapes: Sequence[LesionShape], shares_ml: Sequence[float], voxel_ml: float, grid: tuple[int, int, int]
) -> tuple[list[LesionShape], list[float]]:
    """Radii at which the union of the shapes measures the sum of `shares_ml`, each lesion in one piece.

    Islands that a shape would throw off are cut from it; overlaps are made up for by one common factor on all shares.
    Returns the cut shapes and their radii in mm. The union misses the sum by about one voxel, or by what the lungs
    have no room for.
    """
    cut = list(shapes)
    for _ in range(CLEANING_ROUNDS):
        radii = _common_scale(cut, shares_ml, voxel_ml, grid)
        whole = [_without_islands(shape, radius) for shape, radius in zip(cut, radii, strict=True)]
        if all(new is old for new, old in zip(whole, cut, strict=True)):
            break
        cut = whole
    return cut, radii


def _common_scale(
    shapes: Sequence[LesionShape], shares_ml: Sequence[float], voxel_ml: float, grid: tuple[int, int, int]
) -> list[float]:
    wanted = round(sum(shares_ml) / voxel_ml)
    ordered = [np.sort(shape.distance[np.isfinite(shape.distance)]) for shape in shapes]
    low, high = 0.5, 3.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        radii = [_radius(o, middle * ml / voxel_ml) for o, ml in zip(ordered, shares_ml, strict=True)]
        found = int(np.count_nonzero(union(shapes, radii, grid)))
        if found == wanted:
            break
        low, high = (middle, high) if found < wanted else (low, middle)
    return radii


def _radius(ordered: NDArray[np.float32], voxels: float) -> float:
    """The radius that holds that many of the sorted distances."""
    count = min(max(round(voxels), 1), len(ordered) - 1)
    return float((ordered[count - 1].astype(np.float64) + ordered[count]) / 2)


def union(shapes: Sequence[LesionShape], radii: Sequence[float], grid: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Voxels within any of the lesions."""
    total = np.zeros(grid, dtype=bool)
    for shape, radius in zip(shapes, radii, strict=True):
        total[shape.block] |= shape.distance < radius
    return total


def _without_islands(shape: LesionShape, radius: float) -> LesionShape:
    """The shape with every part but the largest taken away; the very same object where there is one part alone."""
    inside = shape.distance < radius
    parts, count = ndimage.label(inside, structure=NEIGHBOURS)
    if count <= 1:
        return shape
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return replace(shape, distance=np.where(inside & (parts != largest), np.float32(np.inf), shape.distance))
