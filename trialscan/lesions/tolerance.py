"""How far a lesion may lie from its later self: by the estimated alignment error, within the protocol's bounds."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from trialscan.lesions.history import VisitFindings
from trialscan.lesions.placement import Cloud, PlacedVisit
from trialscan.study.sections import LesionSettings

GREATEST_FACTOR = 2.0
PIXEL_SHARE = 0.01
FEWEST_PAIRS = 8
SIZE_FACTOR = 3.0
P95_OF_MEDIAN = 1.817  # of the length of a normal 3-vector


def least_tolerance(visits: Sequence[VisitFindings], settings: LesionSettings) -> float:
    """The protocol's `matching_tolerance_mm`; without millimetres, 1 % of the baseline image's longest edge."""
    scans = sorted((visit for visit in visits if visit.findings is not None), key=lambda visit: not visit.is_baseline)
    if not scans or scans[0].findings is None or scans[0].findings.labels.spacing_known:
        return settings.matching_tolerance_mm
    return PIXEL_SHARE * max(scans[0].findings.labels.shape)


def pair_tolerance(earlier: PlacedVisit, later: PlacedVisit, least: float, shown: float | None = None) -> float:
    """The tolerance between the lesions of two visits, in baseline units.

    The 95th percentiles of both estimated alignment errors, added in quadrature, but no less than `least` (such
    estimates are weak) and no more than twice that (or neighbours would be taken for one another). Where an error was
    not estimated, what the lesions themselves show (`lesion_displacement`) takes its place, or `least` where they show
    nothing. In any case half of the larger voxel's longest edge.
    """
    errors = earlier.error_mm, later.error_mm
    unknown = least if shown is None else shown
    estimate = unknown if errors[0] is None or errors[1] is None else math.hypot(errors[0], errors[1])
    half_voxel = max(*earlier.findings.labels.grid_spacing, *later.findings.labels.grid_spacing) / 2
    return max(half_voxel, least, min(estimate, GREATEST_FACTOR * least))


def lesion_displacement(earlier: Sequence[Cloud], later: Sequence[Cloud], least: float) -> float | None:
    """The 95th percentile of how far lesions moved between two visits, as far as the lesions show it.

    From lesions that are each other's nearest, of sizes within a factor of three, no farther apart than twice the
    greatest tolerance: the median of their distances, as that of a normal error. None from fewer than eight.
    """
    if len(earlier) < FEWEST_PAIRS or len(later) < FEWEST_PAIRS:
        return None
    gaps = cdist([cloud.centroid for cloud in earlier], [cloud.centroid for cloud in later])
    ratio = np.log([cloud.size for cloud in earlier])[:, None] - np.log([cloud.size for cloud in later])
    gaps[np.abs(ratio) > math.log(SIZE_FACTOR)] = np.inf
    there, back = gaps.argmin(axis=1), gaps.argmin(axis=0)
    mutual = back[there] == np.arange(len(earlier))
    found = gaps[np.arange(len(earlier)), there][mutual]
    found = found[found <= 2 * GREATEST_FACTOR * least]
    return P95_OF_MEDIAN * float(np.median(found)) if len(found) >= FEWEST_PAIRS else None
