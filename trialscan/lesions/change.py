"""The call on a lesion's size between two visits: change only beyond what repeated measurement shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trialscan.lesions.findings import Lesion
from trialscan.lesions.history import Change
from trialscan.study.sections import LesionSettings

Measure = Literal["volume_ml", "area_mm2", "organ_percent"]

MEASURES: tuple[Measure, ...] = ("volume_ml", "area_mm2", "organ_percent")
SMALL = 3.0


@dataclass(frozen=True)
class Judgement:
    """The call, the change in percent of the earlier size, and what a reader should know of it."""

    change: Change
    percent: float | None
    note: str


def judge(before: Sequence[Lesion], after: Sequence[Lesion], settings: LesionSettings) -> Judgement:
    """Compare the total size of lesions at an earlier visit with what they became.

    A ratio within the protocol's repeatability, as a factor either way, is stable. Beyond it is growing or shrinking,
    save where the measurement cannot carry the call: then it is indeterminate, and the note says why.
    """
    sizes = comparable_sizes(before, after)
    if sizes is None:
        return Judgement(Change.INDETERMINATE, None, "no size known in both scans")
    earlier, later = sizes
    percent = 100.0 * (later / earlier - 1.0)
    beyond = math.log(later / earlier) / math.log1p(settings.repeatability_percent / 100.0)
    change = Change.STABLE if abs(beyond) <= 1 else Change.GROWING if beyond > 0 else Change.SHRINKING
    doubt = _cut(change, before, after) or _too_small(change, abs(beyond), before, after, settings)
    return Judgement(Change.INDETERMINATE if doubt else change, percent, doubt)


def comparable_sizes(before: Sequence[Lesion], after: Sequence[Lesion]) -> tuple[float, float] | None:
    """Total sizes by the first measure that all lesions have: millilitres, square millimetres, share of the organ."""
    for measure in MEASURES:
        totals = total_size(before, measure), total_size(after, measure)
        if totals[0] is not None and totals[1] is not None:
            return totals[0], totals[1]
    return None


def total_size(lesions: Sequence[Lesion], measure: Measure) -> float | None:
    """The sum over lesions; None when it is unknown of one."""
    values: list[float | None] = [getattr(lesion, measure) for lesion in lesions]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _cut(change: Change, before: Sequence[Lesion], after: Sequence[Lesion]) -> str:
    """Why the edge of the field of view forbids the call: a cut lesion is larger than measured, by an unknown part."""
    cut_before = any(lesion.touches_border for lesion in before)
    cut_after = any(lesion.touches_border for lesion in after)
    if cut_before and change is not Change.SHRINKING:
        return "cut by the edge of the earlier scan"
    if cut_after and change is not Change.GROWING:
        return "cut by the edge of the scan"
    return ""


def _too_small(
    change: Change, beyond: float, before: Sequence[Lesion], after: Sequence[Lesion], settings: LesionSettings
) -> str:
    """Lesions under three times the minimum repeat worse: there the change must be twice the repeatability (in log)."""
    if change is Change.STABLE or beyond > 2:
        return ""
    small = any(_is_small(lesions, settings) for lesions in (before, after))
    return "too small for a change of this size to be certain" if small else ""


def _is_small(lesions: Sequence[Lesion], settings: LesionSettings) -> bool:
    volume_ml = total_size(lesions, "volume_ml")
    if volume_ml is not None:
        return volume_ml < SMALL * settings.minimum_ml
    return sum(lesion.voxel_count for lesion in lesions) < SMALL * settings.minimum_pixels
