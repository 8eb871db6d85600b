"""Which lesions of two visits are the same: a many-to-many graph, so that merges and splits are edges like others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.lesions.placement import Cloud

Floats = NDArray[np.float64]

LINKED_SHARE = 0.5


@dataclass(frozen=True, order=True)
class Link:
    """Lesion `earlier` (position in one sequence) continues as lesion `later` (position in the other)."""

    earlier: int
    later: int


def link_lesions(earlier: Sequence[Cloud], later: Sequence[Cloud], tolerance: Floats) -> tuple[Link, ...]:
    """Find every pair of lesions that are, at least in part, the same.

    Each point of a lesion belongs to the nearest lesion of the other visit, if one lies within the tolerance. Two
    lesions are linked when at least half of either belongs to the other.

    Parameters
    ----------
    earlier, later : the lesions of two visits in common coordinates.
    tolerance : (len(earlier),) how far, in those coordinates, each earlier lesion may lie from its later self.
    """
    reach = np.repeat(tolerance[:, None], len(later), axis=1)
    forward = _shares(earlier, later, reach)
    backward = _shares(later, earlier, reach.T).T
    return tuple(Link(int(a), int(b)) for a, b in np.argwhere(np.maximum(forward, backward) >= LINKED_SHARE))


def _shares(sources: Sequence[Cloud], targets: Sequence[Cloud], reach: Floats) -> Floats:
    """Share of each source (row) that belongs to each target (column)."""
    shares = np.zeros((len(sources), len(targets)))
    close = _boxes_meet(sources, targets, reach)
    for row, source in enumerate(sources):
        near = np.flatnonzero(close[row])
        if not near.size:
            continue
        gaps = np.stack([_gaps(source, targets[column], reach[row, column]) for column in near])
        nearest = np.argmin(gaps, axis=0)
        held = np.isfinite(gaps.min(axis=0))
        votes = np.bincount(nearest[held], weights=source.weights[held], minlength=len(near))
        shares[row, near] = votes / source.weights.sum()
    return shares


def _boxes_meet(sources: Sequence[Cloud], targets: Sequence[Cloud], reach: Floats) -> NDArray[np.bool_]:
    """Whether the boxes around two clouds (row, column) come as close as `reach`."""
    if not reach.size:
        return np.zeros(reach.shape, bool)
    low, high = (np.stack([getattr(cloud.tree, side) for cloud in sources])[:, None] for side in ("mins", "maxes"))
    first, last = (np.stack([getattr(cloud.tree, side) for cloud in targets]) for side in ("mins", "maxes"))
    apart = (reach + [target.radius for target in targets])[..., None]
    meet: NDArray[np.bool_] = np.all((low <= last + apart) & (first <= high + apart), axis=2)
    return meet


def _gaps(source: Cloud, target: Cloud, reach: float) -> Floats:
    """Distance of each source point from the target's blocks (0 inside); infinite beyond `reach`."""
    distances, _ = target.tree.query(source.points, distance_upper_bound=reach + target.radius)
    return np.maximum(distances - target.radius, 0.0)
