"""How far a lesion may lie from its later self: by the estimated alignment error, within the protocol's bounds."""

import math
from collections.abc import Sequence

import numpy as np

from trialscan.lesions.history import VisitFindings
from trialscan.lesions.placement import Cloud, PlacedVisit
from trialscan.lesions.residual import FEWEST_PAIRS, P95_OF_MEDIAN, nearest_pairs
from trialscan.study.sections import LesionSettings

GREATEST_FACTOR = 2.0
PIXEL_SHARE = 0.01
SETTLED_SHARE = 0.5


def least_tolerance(visits: Sequence[VisitFindings], settings: LesionSettings) -> float:
    """The protocol's `matching_tolerance_mm`; without millimetres, 1 % of the baseline image's longest edge."""
    scans = sorted((visit for visit in visits if visit.findings is not None), key=lambda visit: not visit.is_baseline)
    if not scans or scans[0].findings is None or scans[0].findings.labels.spacing_known:
        return settings.matching_tolerance_mm
    return PIXEL_SHARE * max(scans[0].findings.labels.shape)


def pair_tolerance(earlier: PlacedVisit, later: PlacedVisit, least: float, shown: float | None = None) -> float:
    """The tolerance between the lesions of two visits, in baseline units.

    What the lesions themselves show (`lesion_displacement`); where they show nothing, the 95th percentiles of both
    estimated alignment errors, added in quadrature. No less than `least` (such estimates are weak) and no more than
    twice that (or neighbours would be taken for one another), and `least` where nothing is known. In any case half of
    the larger voxel's longest edge.
    """
    errors = earlier.error_mm, later.error_mm
    estimate = least if errors[0] is None or errors[1] is None else math.hypot(errors[0], errors[1])
    known = estimate if shown is None else shown
    return max(_half_voxel(earlier, later), least, min(known, GREATEST_FACTOR * least))


def field_margin(earlier: PlacedVisit, later: PlacedVisit, least: float, shown: float | None) -> float:
    """How far from the edge of the later scan a place must lie to have been scanned: the larger of both tolerances."""
    return max(pair_tolerance(earlier, later, least, shown), pair_tolerance(earlier, later, least))


def settled_tolerance(earlier: PlacedVisit, later: PlacedVisit, least: float, left_p95: float) -> float:
    """The tolerance once the residual error that the lesions show has been undone: what it leaves (`left_p95`).

    No less than half of `least` or of the larger voxel's longest edge, and no more than `least`.
    """
    floor = max(SETTLED_SHARE * least, _half_voxel(earlier, later))
    return max(floor, min(left_p95, least))


def _half_voxel(earlier: PlacedVisit, later: PlacedVisit) -> float:
    return max(*earlier.findings.labels.grid_spacing, *later.findings.labels.grid_spacing) / 2


def lesion_displacement(earlier: Sequence[Cloud], later: Sequence[Cloud], least: float) -> float | None:
    """The 95th percentile of how far lesions moved between two visits, as far as the lesions show it.

    From lesions that are each other's nearest (`nearest_pairs`): the median of their distances, as that of a normal
    error. None from fewer than eight.
    """
    gaps = [gap for _, _, gap in nearest_pairs(earlier, later, least)]
    return P95_OF_MEDIAN * float(np.median(gaps)) if len(gaps) >= FEWEST_PAIRS else None
