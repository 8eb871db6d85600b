"""The call on a lesion's size between two visits: change only beyond what repeated measurement shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trialscan.lesions.error import MEASURES, TWO_SIDED_95, Measure, Measured, difference_sd, normal
from trialscan.lesions.findings import Lesion
from trialscan.lesions.history import Change
from trialscan.study.sections import LesionSettings

ONE_SIDED_95 = 1.6448536269514722
RELEVANT_LOG = math.log(2.0)


@dataclass(frozen=True)
class Judgement:
    """The call, the change in percent of the earlier size, and what a reader should know of it.

    `probability`: that the true change is as called, given the measured one and its error; None where it has none.
    """

    change: Change
    percent: float | None
    note: str
    probability: float | None = None


def judge(before: Sequence[Measured], after: Sequence[Measured], settings: LesionSettings) -> Judgement:
    """Compare the total size of lesions at an earlier visit with what they became.

    Both totals have an error (`error.total_sd`), on the log scale the difference has the root of their squared sum.
    Beyond 1.96 of it the lesions grow or shrink. Within, they are stable when a doubling or halving can be excluded
    (one-sided 95 %), and indeterminate when not, or when the edge of a scan may have made the difference.
    """
    measure = comparable_measure([m.lesion for m in before], [m.lesion for m in after])
    if measure is None:
        return Judgement(Change.INDETERMINATE, None, "no size known in both scans")
    earlier, later = (sum(float(getattr(m.lesion, measure)) for m in side) for side in (before, after))
    sd, difference = difference_sd(before, after, measure, settings)
    shift, percent = math.log(later / earlier), 100.0 * (later / earlier - 1.0)
    change = _beyond(shift, sd)
    cut = _cut(change, before, after)
    if cut:
        return Judgement(Change.INDETERMINATE, percent, cut)
    doubt = "too uncertain to exclude a doubling or halving" if change is Change.INDETERMINATE else ""
    note = "; ".join(part for part in (doubt, difference) if part)
    return Judgement(change, percent, note, _probability(change, shift, sd))


def comparable_measure(before: Sequence[Lesion], after: Sequence[Lesion]) -> Measure | None:
    """The first measure that all lesions have: millilitres, square millimetres, share of the organ."""
    for measure in MEASURES:
        if all(getattr(lesion, measure) is not None for lesion in (*before, *after)):
            return measure
    return None


def _beyond(shift: float, sd: float) -> Change:
    if abs(shift) > TWO_SIDED_95 * sd:
        return Change.GROWING if shift > 0 else Change.SHRINKING
    return Change.STABLE if abs(shift) + ONE_SIDED_95 * sd <= RELEVANT_LOG else Change.INDETERMINATE


def _probability(change: Change, shift: float, sd: float) -> float:
    """Of a true change in the measured direction; for a stable lesion, of a true ratio between a half and two."""
    if change is Change.STABLE:
        return normal((RELEVANT_LOG - shift) / sd) - normal((-RELEVANT_LOG - shift) / sd)
    return normal(abs(shift) / sd)


def _cut(change: Change, before: Sequence[Measured], after: Sequence[Measured]) -> str:
    """Why the edge of the field of view forbids the call: a cut lesion is larger than measured, by an unknown part."""
    cut_before = any(measured.lesion.touches_border for measured in before)
    cut_after = any(measured.lesion.touches_border for measured in after)
    if cut_before and change is not Change.SHRINKING:
        return "cut by the edge of the earlier scan"
    if cut_after and change is not Change.GROWING:
        return "cut by the edge of the scan"
    return ""
