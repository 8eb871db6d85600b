"""Changes from one visit to the next that are likelier an error of outline or scan than a patient's course."""

from collections.abc import Sequence

from trialscan.lesions import Findings, VisitFindings
from trialscan.study.sections import SegmentationLimits

JUMP_LIMITS = {"max_organ_change_percent", "max_burden_change_points"}


def jump_flags(visits: Sequence[VisitFindings], limits: SegmentationLimits) -> dict[str, tuple[str, ...]]:
    """Flags by visit: `organ_jump` and `burden_jump` where the change since the last measured visit is beyond a limit.

    The organ's change is in percent of its volume before, the burden's in percent points of the organ.
    """
    flags: dict[str, tuple[str, ...]] = {}
    before: Findings | None = None
    for visit in visits:
        if visit.findings is None:
            continue
        if before is not None:
            flags[visit.visit] = tuple(_flags(before, visit.findings, limits))
        before = visit.findings
    return flags


def _flags(before: Findings, now: Findings, limits: SegmentationLimits) -> list[str]:
    found = []
    first, second = before.burden.organ_ml, now.burden.organ_ml
    if first and second is not None and _beyond(100.0 * (second - first) / first, limits.max_organ_change_percent):
        found.append("organ_jump")
    percent = before.burden.burden_percent, now.burden.burden_percent
    if None not in percent and _beyond(_difference(*percent), limits.max_burden_change_points):
        found.append("burden_jump")
    return found


def _difference(before: float | None, now: float | None) -> float:
    return (now or 0.0) - (before or 0.0)


def _beyond(change: float, limit: float | None) -> bool:
    return limit is not None and abs(change) > limit
