"""How far a lesion may lie from its later self: by the estimated alignment error, within the protocol's bounds."""

import math
from collections.abc import Sequence

from trialscan.lesions.history import VisitFindings
from trialscan.lesions.placement import PlacedVisit
from trialscan.study.sections import LesionSettings

GREATEST_FACTOR = 2.0
PIXEL_SHARE = 0.01


def least_tolerance(visits: Sequence[VisitFindings], settings: LesionSettings) -> float:
    """The protocol's `matching_tolerance_mm`; without millimetres, 1 % of the baseline image's longest edge."""
    scans = sorted((visit for visit in visits if visit.findings is not None), key=lambda visit: not visit.is_baseline)
    if not scans or scans[0].findings is None or scans[0].findings.labels.spacing_known:
        return settings.matching_tolerance_mm
    return PIXEL_SHARE * max(scans[0].findings.labels.shape)


def pair_tolerance(earlier: PlacedVisit, later: PlacedVisit, least: float) -> float:
    """The tolerance between the lesions of two visits, in baseline units.

    The 95th percentiles of both estimated alignment errors, added in quadrature, but no less than `least` (such
    estimates are weak) and no more than twice that (or neighbours would be taken for one another); `least` where an
    error was not estimated. In any case half of the larger voxel's longest edge.
    """
    errors = earlier.error_mm, later.error_mm
    estimate = least if errors[0] is None or errors[1] is None else math.hypot(errors[0], errors[1])
    half_voxel = max(*earlier.findings.labels.grid_spacing, *later.findings.labels.grid_spacing) / 2
    return max(half_voxel, least, min(estimate, GREATEST_FACTOR * least))
