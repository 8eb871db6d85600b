"""Diameters of a voxel set: the longest in space, and the longest with its perpendicular within a slice."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Diameters:
    """All in mm."""

    longest_mm: float
    perpendicular_mm: float
    slice_mm: float
    slice_perpendicular_mm: float


def diameters(voxels: NDArray[np.int64], axes: Floats) -> Diameters:
    """Measure the voxels (n, 3 indices) of one lesion; `axes` is the 3×3 matrix of an affine, in mm.

    A length between voxel centres is drawn out by half a voxel along its own direction, the middle between what round
    and what square shapes need: spheres come out right to half a voxel, boxes short by up to one voxel.
    """
    outline = _line_ends(voxels)
    longest, ends = _caliper(outline, axes)
    perpendicular = _perpendicular(_hull(outline) @ axes.T, axes @ ends, axes)
    slices = np.split(outline, np.flatnonzero(np.diff(outline[:, 2])) + 1)
    slice_mm, across_mm = max(_slice_diameters(part, axes) for part in slices)
    return Diameters(longest, perpendicular, slice_mm, across_mm)


def _perpendicular(corners: Floats, along: Floats, axes: Floats) -> float:
    """The greatest width of hull corners (n, 3 in mm) at right angles to `along`, half a voxel added."""
    along = along / np.linalg.norm(along)
    flat = corners - np.outer(corners @ along, along)
    across, length = np.cross(along, axes[:, int(np.argmin(np.abs(along @ axes)))]), 0.0
    if len(flat) > 1:
        distances = pdist(flat)
        farthest = int(np.argmax(distances))
        if distances[farthest] > 1e-6 * np.linalg.norm(axes):
            first, second = (index[farthest] for index in np.triu_indices(len(flat), k=1))
            across, length = flat[second] - flat[first], float(distances[farthest])
    across = across / np.linalg.norm(across)
    return length + float(0.5 / np.linalg.norm(np.linalg.solve(axes, across)))


def _slice_diameters(outline: NDArray[np.int64], axes: Floats) -> tuple[float, float]:
    """The longest diameter within one slice, and the width at right angles to it."""
    length, ends = _caliper(outline, axes)
    normal = np.cross(axes[:, 0], axes[:, 1])
    across = np.cross(normal, axes @ ends)
    across /= np.linalg.norm(across)
    reach = outline @ axes.T @ across
    half_voxel = 0.5 / np.linalg.norm(np.linalg.solve(axes, across))
    return length, float(np.ptp(reach) + half_voxel)


def _caliper(outline: NDArray[np.int64], axes: Floats) -> tuple[float, Floats]:
    """The greatest distance between two voxels, half a voxel added; and the index vector from one to the other.

    A single voxel counts half its longer edge within the slice, whose direction it takes.
    """
    corners = _hull(outline)
    if len(corners) == 1:
        edges = np.linalg.norm(axes[:, :2], axis=0)
        return float(edges.max()) / 2, np.eye(3)[int(np.argmax(edges))]
    distances = pdist(corners @ axes.T)
    first, second = np.triu_indices(len(corners), k=1)
    farthest = int(np.argmax(distances))
    ends: Floats = (corners[second[farthest]] - corners[first[farthest]]).astype(np.float64)
    return float(distances[farthest] * (1 + 0.5 / np.linalg.norm(ends))), ends


def _line_ends(voxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first and last voxel of every line along i, by slice: no other can lie on a hull, in space or in a slice."""
    order = np.lexsort((voxels[:, 0], voxels[:, 1], voxels[:, 2]))
    ordered = voxels[order]
    changes = np.any(ordered[1:, 1:] != ordered[:-1, 1:], axis=1)
    ends = np.concatenate([[True], changes]) | np.concatenate([changes, [True]])
    result: NDArray[np.int64] = ordered[ends]
    return result


def _hull(points: NDArray[np.int64]) -> NDArray[Any]:
    """The corners of the convex hull, whatever the dimension of the set: a point, a line, a plane or a solid."""
    centred = points - points.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    rank = int(np.count_nonzero(singular > 1e-6 * max(1.0, float(singular[0]))))
    if rank == 0:
        return points[:1]
    flat = centred @ directions[:rank].T
    if rank == 1:
        return points[[int(np.argmin(flat)), int(np.argmax(flat))]]
    return points[np.sort(ConvexHull(flat).vertices)]
