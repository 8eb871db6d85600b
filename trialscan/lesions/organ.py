"""Where a lesion lies in its organ: how far from the organ's border, and on which side of a paired organ."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from trialscan.imaging import Box, Volume, occupied_box

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

PAIRED_SHARE = 0.2
LEAST_SHARE = 0.5
OUTLIERS_PERCENT = 5
SAMPLE = 20_000
SPARSE = 64
ROUNDING_MM = 1e-6


@dataclass(frozen=True, eq=False)
class Organ:
    """An organ, lesions included, on its scan's grid, within the box of it.

    border : its outermost voxels, cavities within not counted, and the scan's edge not either.
    tree : their positions in mm; None where the organ has no border or the spacing is unknown.
    halves : 1 right, 2 left, 0 neither; None where the organ is not a pair.
    """

    grid: Volume
    box: Box
    border: Mask
    tree: KDTree | None
    halves: NDArray[np.uint8] | None

    def distance_mm(self, inside: Mask, box: Box) -> float | None:
        """The least distance from a lesion (`inside` of `box`) to the organ's border, 0 where it reaches it.

        Between the centres of a lesion's and a border's voxel, which is the width of the organ left between them.
        """
        if self.tree is None:
            return None
        if bool(self.border[self._within(box)][inside].any()):
            return 0.0
        rim = inside & ~ndimage.binary_erosion(inside)
        points = self.grid.to_world(np.argwhere(rim).astype(np.float64) + [axis.start for axis in box])
        return least_distance(self.tree, points)

    def side(self, inside: Mask, box: Box) -> str:
        """ "left" or "right" of the patient where the organ is a pair and most of the lesion lies in one of it."""
        if self.halves is None:
            return ""
        counts = np.bincount(self.halves[self._within(box)][inside], minlength=3)[1:]
        most = int(np.argmax(counts))
        return ("right", "left")[most] if counts[most] > LEAST_SHARE * np.count_nonzero(inside) else ""

    def _within(self, box: Box) -> Box:
        i, j, k = (
            slice(axis.start - own.start, axis.stop - own.start) for axis, own in zip(box, self.box, strict=True)
        )
        return i, j, k


def outline_organ(organ: Volume | None, lesions: NDArray[Any]) -> Organ | None:
    """Prepare an organ mask for `lesions`, an array on its grid that is above 0 in them; None without an organ."""
    if organ is None or not organ.array.any():
        return None
    found = occupied_box((organ.array > 0) | (lesions > 0))
    if found is None:
        return None
    box = _widened(found, organ.shape)
    solid = _without_cavities((organ.array[box] > 0) | (lesions[box] > 0))
    border = solid & ~ndimage.binary_erosion(solid, border_value=1)
    points = organ.to_world(np.argwhere(border).astype(np.float64) + [axis.start for axis in box])
    tree = KDTree(points) if len(points) and organ.spacing_known else None
    return Organ(organ, box, border, tree, _halves(organ, box, solid))


def least_distance(tree: KDTree, points: Floats) -> float:
    """The least distance of any of the (n, 3) points to the tree.

    A few points are looked up first. No other can be nearer than the distance of one of these less that between both
    (triangle inequality), so that most need not be looked up.
    """
    few = points[::SPARSE]
    known = np.asarray(tree.query(few)[0])
    bound = float(np.min(known))
    gaps, nearest = KDTree(few).query(points)
    possible = points[known[nearest] - gaps <= bound + ROUNDING_MM]
    distances, _ = tree.query(possible, distance_upper_bound=np.nextafter(bound, np.inf))
    return float(np.min(distances))


def _widened(box: Box, shape: tuple[int, int, int]) -> Box:
    """One voxel more on every side, where the scan has one."""
    i, j, k = (
        slice(max(axis.start - 1, 0), min(axis.stop + 1, length)) for axis, length in zip(box, shape, strict=True)
    )
    return i, j, k


def _without_cavities(mask: Mask) -> Mask:
    """The mask with what it encloses; the outside is whatever is joined with a face of the box."""
    background, number = ndimage.label(~mask)
    enclosed = np.ones(number + 1, bool)
    for axis in range(3):
        for end in (0, -1) if mask.shape[axis] > 1 else ():
            enclosed[np.take(background, end, axis=axis)] = False
    if not enclosed[1:].any():
        return mask
    enclosed[0] = True
    solid: Mask = enclosed[background]
    return solid


def _halves(organ: Volume, box: Box, solid: Mask) -> NDArray[np.uint8] | None:
    """Right 1 and left 2: the two labels of a mask that has two, else its two large separate parts, if side by side.

    Side by side means that their extents in the patient's left-right direction, the outermost 5 % of voxels left out,
    do not overlap.
    """
    parts, counts = organ.array[box], _counts(organ.array[box])
    if np.count_nonzero(counts) != 2:
        parts, _ = ndimage.label(solid)
        counts = _counts(parts)
    largest = np.argsort(-counts, kind="stable")[:2]
    if len(largest) < 2 or counts[largest].min() < PAIRED_SHARE * counts.sum():
        return None
    extents = {int(part): _extent(organ, box, parts == part) for part in largest}
    right, left = sorted(extents, key=lambda part: extents[part][0])
    if extents[right][1] >= extents[left][0]:
        return None
    halves: NDArray[np.uint8] = np.zeros(solid.shape, np.uint8)
    halves[parts == right], halves[parts == left] = 1, 2
    return halves


def _counts(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Voxels of each label, none of 0; slice by slice, because counting makes wide copies."""
    most = int(labels.max()) + 1
    counts = sum(np.bincount(labels[..., k].ravel(), minlength=most) for k in range(labels.shape[2]))
    result: NDArray[np.int64] = np.asarray(counts, np.int64)
    result[0] = 0
    return result


def _extent(organ: Volume, box: Box, part: Mask) -> tuple[float, float]:
    """From where to where a part reaches along x (to the patient's left), outliers left out."""
    held = np.flatnonzero(part)
    voxels = np.column_stack(np.unravel_index(held[:: max(1, len(held) // SAMPLE)], part.shape))
    x = organ.to_world(voxels.astype(np.float64) + [axis.start for axis in box])[:, 0]
    low, high = np.percentile(x, [OUTLIERS_PERCENT, 100 - OUTLIERS_PERCENT])
    return float(low), float(high)
