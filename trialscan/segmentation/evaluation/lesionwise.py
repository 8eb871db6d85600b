"""Masks compared lesion by lesion: which lesions of the reference are found, which predicted ones are true.

A lesion is a group of voxels that share a face, an edge or a corner (26 neighbours; 8 in a planar image). A lesion of
the reference is *found* when the predicted mask covers more than a given share of it, a predicted lesion is *true*
when the reference covers more than that share of it; with share 0, one common voxel is enough, as in the
challenges ISLES 2022 (Hernandez Petzsche et al., Sci Data 2022; 9: 762) and ATLAS R2.0 (Liew et al., Sci Data 2022; 9:
320). Each lesion counts once, on its own side: a
prediction that joins three lesions finds three and is one true lesion, one in three pieces finds one with three true
ones. Recall is found / reference lesions, precision true / predicted lesions (Commowick et al., Sci Rep 2018; 8:
13650).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from trialscan.segmentation.metrics import Grid, Mask

REFERENCE, PREDICTED = "reference", "predicted"
_ANY_NEIGHBOUR = np.ones((3, 3, 3))
Ints = NDArray[np.int64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Lesions:
    """The lesions of one mask by falling size; arrays hold one value a lesion.

    `overlap` counts its voxels that the other mask covers too, `matched` says whether that is enough, `partners` are
    the places of the other side's lesions that share a voxel with it, the one that shares most first. `centroids` are
    mean voxel indices (n, 3) within the array compared. `dice` is against the union of the partners.
    """

    voxels: Ints
    overlap: Ints
    matched: Mask
    partners: tuple[tuple[int, ...], ...]
    centroids: NDArray[np.float64]
    dice: NDArray[np.float64]


@dataclass(frozen=True)
class LesionMatch:
    """Both sides of a comparison."""

    reference: Lesions
    predicted: Lesions

    def measures(self) -> dict[str, float | None]:
        """Counts, precision, recall and F1; see `detection` for what there is where lesions are absent."""
        found, true = int(self.reference.matched.sum()), int(self.predicted.matched.sum())
        n_reference, n_predicted = len(self.reference.voxels), len(self.predicted.voxels)
        precision, recall, f1 = detection(n_reference, found, n_predicted, true)
        return {
            "reference_lesions": float(n_reference),
            "found_lesions": float(found),
            "predicted_lesions": float(n_predicted),
            "true_lesions": float(true),
            "false_lesions": float(n_predicted - true),
            "lesion_precision": precision,
            "lesion_recall": recall,
            "lesion_f1": 1.0 if f1 is None else f1,
        }


def detection(
    reference: float, found: float, predicted: float, true: float
) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and their harmonic mean F1.

    Precision is None without predicted lesions, recall without reference lesions, F1 without either; with lesions on
    one side only F1 is 0.
    """
    precision = true / predicted if predicted else None
    recall = found / reference if reference else None
    if precision is None and recall is None:
        return None, None, None
    total = (precision or 0.0) + (recall or 0.0)
    return precision, recall, 2 * (precision or 0.0) * (recall or 0.0) / total if total else 0.0


def match_lesions(predicted: Mask, reference: Mask, least_overlap: float = 0.0) -> LesionMatch:
    """Compare two masks (i, j, k) lesion by lesion; `least_overlap` is the share (0 to 1) that must be exceeded."""
    first, second = _Components.of(reference), _Components.of(predicted)
    couples, shared = _overlaps(first, second)
    return LesionMatch(
        _side(first, second, couples, shared, least_overlap),
        _side(second, first, couples[::-1], shared, least_overlap),
    )


@dataclass(frozen=True)
class _Components:
    """Labels 1…n by falling size, then by position in the array."""

    labels: NDArray[np.int32]
    voxels: Ints
    centroids: NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(cls, mask: Mask) -> "_Components":
        labels = np.empty(mask.shape, np.int32)
        number = ndimage.label(mask, structure=_ANY_NEIGHBOUR, output=labels)
        sizes, sums = _moments(labels, number)
        order = np.argsort(-sizes, kind="stable")
        renumber = np.zeros(number + 1, np.int32)
        renumber[order + 1] = np.arange(1, number + 1)
        return cls(np.take(renumber, labels, out=labels, mode="clip"), sizes[order], (sums / sizes[:, None])[order])


def _moments(labels: NDArray[np.int32], number: int) -> tuple[Ints, NDArray[np.float64]]:
    """Voxels (n,) of each label from 1 on and the sums of their indices (n, 3), plane by plane to save memory."""
    second, third = (
        np.broadcast_to(axis, labels.shape[1:]).ravel() for axis in np.ogrid[tuple(map(slice, labels.shape[1:]))]
    )
    sizes, sums = np.zeros(number + 1, np.int64), np.zeros((number + 1, 3))
    for index, plane in enumerate(labels):
        flat = plane.ravel()
        counts = np.bincount(flat, minlength=number + 1)
        sizes += counts
        sums[:, 0] += index * counts
        sums[:, 1] += np.bincount(flat, weights=second, minlength=number + 1)
        sums[:, 2] += np.bincount(flat, weights=third, minlength=number + 1)
    return sizes[1:], sums[1:]


def _overlaps(first: _Components, second: _Components) -> tuple[Ints, Ints]:
    """Places (2, m) of the lesions of both masks that share voxels, and how many."""
    both = (first.labels > 0) & (second.labels > 0)
    pairs = first.labels[both] - 1, second.labels[both] - 1
    shape = len(first.voxels), len(second.voxels)
    table = sparse.coo_array((np.ones(len(pairs[0]), np.int64), pairs), shape=shape).tocsr()
    table.sort_indices()
    found = table.tocoo()
    return np.stack(found.coords).astype(np.int64), found.data


def _side(own: _Components, other: _Components, couples: Ints, shared: Ints, least_overlap: float) -> Lesions:
    """One side's lesions; `couples` (2, m) are the places of own and other lesions that share `shared` voxels."""
    number = len(own.voxels)
    overlap = np.bincount(couples[0], weights=shared, minlength=number).astype(np.int64)
    met = np.bincount(couples[0], weights=other.voxels[couples[1]], minlength=number)
    partners: list[list[int]] = [[] for _ in range(number)]
    for index in np.lexsort((couples[1], -shared)):
        partners[int(couples[0, index])].append(int(couples[1, index]))
    return Lesions(
        own.voxels,
        overlap,
        overlap > least_overlap * own.voxels,
        tuple(tuple(each) for each in partners),
        own.centroids,
        2.0 * overlap / (own.voxels + met),
    )


def lesion_rows(match: LesionMatch, grid: Grid, corner: Sequence[int], bands_ml: Sequence[float]) -> list[Row]:
    """A row a lesion, the reference's first.

    `corner` is the index of the compared arrays' first voxel in the scan, `bands_ml` the lower ends of all size bands
    but the first. A lesion's band is that of its volume; a true predicted one's is that of the reference lesion that it
    shares most with, so that outlining too much or too little moves nothing between bands. No millilitres, no band.
    """
    rows = []
    sides = {REFERENCE: (match.reference, match.predicted), PREDICTED: (match.predicted, match.reference)}
    for side, (own, other) in sides.items():
        for place in range(len(own.voxels)):
            partners = own.partners[place]
            counted = int(own.voxels[place])
            decisive = int(other.voxels[partners[0]]) if side == PREDICTED and own.matched[place] else counted
            rows.append(
                {
                    "side": side,
                    "lesion": place + 1,
                    "matched": bool(own.matched[place]),
                    "volume_ml": None if grid.voxel_ml is None else counted * grid.voxel_ml,
                    "area_mm2": None if grid.pixel_mm2 is None else counted * grid.pixel_mm2,
                    "voxels": counted,
                    "overlap_voxels": int(own.overlap[place]),
                    "dice": float(own.dice[place]),
                    "from_ml": None if grid.voxel_ml is None else band_start(decisive * grid.voxel_ml, bands_ml),
                    "partners": ";".join(str(partner + 1) for partner in partners),
                    **_position(own.centroids[place] + corner, grid),
                }
            )
    return rows


def band_start(volume_ml: float, bands_ml: Sequence[float]) -> float:
    """The lower end of the size band that a volume lies in; at an end, up to rounding, that is the upper band."""
    return max((start for start in bands_ml if volume_ml >= start * (1 - 1e-9)), default=0.0)


def bands(bands_ml: Sequence[float]) -> list[tuple[float, float | None]]:
    """Lower and upper end of each size band, in ml; the last has no upper end."""
    ends: list[float | None] = [*bands_ml, None]
    return list(zip([0.0, *bands_ml], ends, strict=True))


def _position(index: NDArray[np.float64], grid: Grid) -> dict[str, float | None]:
    world = grid.axes @ index + grid.origin
    names = ("centroid_x_mm", "centroid_y_mm", "centroid_z_mm")
    return {name: float(value) if grid.in_mm else None for name, value in zip(names, world, strict=True)}
