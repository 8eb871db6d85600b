"""What truly became of every lesion: connected lesions of each visit, named through merges and splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.phantom.lesions import LesionShape
from trialscan.phantom.sizing import NEIGHBOURS


@dataclass(frozen=True)
class SeenLesion:
    """A connected lesion of one scan: the seeds it is made of, its label in the component mask, and its voxels."""

    seeds: frozenset[int]
    label: int
    voxels: int
    center_index: tuple[float, float, float]


@dataclass(frozen=True)
class NamedLesion:
    """A lesion's row of truth: its number, stable over visits, and how it came to be.

    event : ``baseline`` at the first scan, later ``continued``, ``new``, ``merge``, ``split`` or ``resolved`` (then
    `seen` is None). predecessors : numbers at the scan before.
    """

    number: int
    event: str
    predecessors: tuple[int, ...]
    seen: SeenLesion | None


def connected_lesions(
    mask: NDArray[np.bool_], shapes: Sequence[LesionShape], radii: Sequence[float]
) -> tuple[tuple[SeenLesion, ...], NDArray[np.int32]]:
    """The connected parts of a scan's lesion mask (26 neighbours) with the seeds in each, and their label mask."""
    labels, count = ndimage.label(mask, structure=NEIGHBOURS)
    seeds: dict[int, set[int]] = {n: set() for n in range(1, count + 1)}
    for shape, radius in zip(shapes, radii, strict=True):
        for label in np.unique(labels[shape.block][shape.distance < radius]):
            if label:
                seeds[int(label)].add(shape.spec.lesion_id)
    centers = ndimage.center_of_mass(mask, labels, list(seeds))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    seen = tuple(
        SeenLesion(frozenset(seeds[n]), n, int(sizes[n]), (float(c[0]), float(c[1]), float(c[2])))
        for n, c in zip(seeds, centers, strict=True)
    )
    return seen, labels.astype(np.int32)


def name_lesions(scans: Sequence[tuple[SeenLesion, ...]]) -> tuple[tuple[NamedLesion, ...], ...]:
    """Carry numbers through a patient's scans, in order of time.

    Lesions that share a seed continue each other. A merged lesion keeps the number of the largest of its predecessors;
    of the parts of a split lesion the largest keeps its number.
    """
    following = 1
    before: tuple[NamedLesion, ...] = ()
    named = []
    for order, scan in enumerate(scans):
        present = [lesion for lesion in before if lesion.seen is not None]
        kept = _heirs(present, scan)
        rows = []
        for seen in sorted(scan, key=lambda s: (-s.voxels, s.label)):
            number = kept.get(seen.label, following)
            following = max(following, number + 1)
            parents = [p for p in present if p.seen is not None and p.seen.seeds & seen.seeds]
            event = "baseline" if order == 0 else _event(parents, seen, scan)
            rows.append(NamedLesion(number, event, tuple(sorted(p.number for p in parents)), seen))
        alive = frozenset().union(*(s.seeds for s in scan))
        rows += [
            NamedLesion(p.number, "resolved", (p.number,), None) for p in present if p.seen and not p.seen.seeds & alive
        ]
        before = tuple(sorted(rows, key=lambda row: row.number))
        named.append(before)
    return tuple(named)


def _event(parents: Sequence[NamedLesion], seen: SeenLesion, scan: Sequence[SeenLesion]) -> str:
    if not parents:
        return "new"
    if len(parents) > 1:
        return "merge"
    shared = parents[0].seen.seeds if parents[0].seen else frozenset()
    others = [other for other in scan if other is not seen and other.seeds & shared]
    return "split" if others else "continued"


def _heirs(present: Sequence[NamedLesion], scan: Sequence[SeenLesion]) -> Mapping[int, int]:
    """Which lesion of the scan (by label) keeps which number."""
    main: dict[int, Any] = {}
    for seen in scan:
        parents = [p for p in present if p.seen is not None and p.seen.seeds & seen.seeds]
        if parents:
            main[seen.label] = max(parents, key=lambda p: (p.seen.voxels if p.seen else 0, -p.number)).number
    kept: dict[int, int] = {}
    for seen in sorted(scan, key=lambda s: (-s.voxels, s.label)):
        if seen.label in main and main[seen.label] not in kept.values():
            kept[seen.label] = main[seen.label]
    return kept
