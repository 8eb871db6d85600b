"""The course of the whole burden, visit by visit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trialscan.lesions.history import Change, LesionRow, TrajectoryRow, VisitFindings

BurdenMeasure = Literal["burden_ml", "burden_percent"]


@dataclass(frozen=True)
class _Course:
    """What earlier visits, from the baseline on, have shown."""

    baseline: float | None = None
    nadir: float | None = None
    best_percent: float | None = None


@dataclass(frozen=True)
class _Turnover:
    """Lesions that came or went at a visit; None where that is unknown."""

    count: int | None
    burden: float | None


def trajectory(
    visits: Sequence[VisitFindings], rows: Sequence[LesionRow], linked: Sequence[str]
) -> tuple[TrajectoryRow, ...]:
    """Build a row for each visit.

    Parameters
    ----------
    visits : in order of time.
    rows : the lesions' rows at those visits.
    linked : names of the visits whose lesions were linked with earlier ones, in order.
    """
    measure = _measure(visits)
    new = _new(rows, linked, measure)
    resolved = _resolved(rows, linked, measure)
    course = _Course()
    result = []
    for visit in visits:
        burden = None if visit.findings is None else getattr(visit.findings.burden, measure)
        course = _advance(course, burden, is_baseline=visit.is_baseline)
        result.append(
            _row(visit, measure, burden, course, new=new.get(visit.visit), resolved=resolved.get(visit.visit))
        )
    return tuple(result)


def _measure(visits: Sequence[VisitFindings]) -> BurdenMeasure:
    found = [visit.findings.burden for visit in visits if visit.findings is not None]
    return "burden_ml" if all(burden.burden_ml is not None for burden in found) else "burden_percent"


def _advance(course: _Course, burden: float | None, *, is_baseline: bool) -> _Course:
    if burden is None:
        return course
    if is_baseline:
        return _Course(burden, burden, None)
    if course.baseline is None or course.nadir is None:
        return course
    percent = _percent(burden, course.baseline)
    known = [value for value in (percent, course.best_percent) if value is not None]
    return _Course(course.baseline, min(course.nadir, burden), min(known, default=None))


def _row(
    visit: VisitFindings,
    measure: BurdenMeasure,
    burden: float | None,
    course: _Course,
    *,
    new: _Turnover | None,
    resolved: _Turnover | None,
) -> TrajectoryRow:
    known = burden is not None and course.baseline is not None
    return TrajectoryRow(
        visit=visit.visit,
        study_day=visit.study_day,
        status=visit.status,
        measure=measure,
        burden=burden,
        change=None if burden is None or course.baseline is None else burden - course.baseline,
        change_percent=_percent(burden, course.baseline),
        nadir=course.nadir if known else None,
        change_from_nadir_percent=_percent(burden, course.nadir),
        best_response_percent=course.best_percent if known else None,
        new_count=new.count if new else None,
        new_burden=new.burden if new else None,
        resolved_count=resolved.count if resolved else None,
        resolved_burden=resolved.burden if resolved else None,
    )


def _percent(value: float | None, reference: float | None) -> float | None:
    """Change in percent of the reference; None where either is unknown or the reference is nothing."""
    return 100.0 * (value / reference - 1.0) if value is not None and reference else None


def _size(row: LesionRow, measure: BurdenMeasure) -> float | None:
    return row.volume_ml if measure == "burden_ml" else row.organ_percent


def _new(rows: Sequence[LesionRow], linked: Sequence[str], measure: BurdenMeasure) -> Mapping[str, _Turnover]:
    return {
        visit: _turnover([_size(row, measure) for row in rows if row.visit == visit and row.change is Change.NEW])
        for visit in linked[1:]
    }


def _resolved(rows: Sequence[LesionRow], linked: Sequence[str], measure: BurdenMeasure) -> Mapping[str, _Turnover]:
    """What each visit lost, by the size at which each lost lesion was last seen."""
    last: dict[str, float | None] = {}
    lost: dict[str, list[float | None]] = {visit: [] for visit in linked[1:]}
    for row in rows:
        if row.change is Change.RESOLVED:
            lost[row.visit].append(last[row.lesion_id])
        elif row.label is not None:
            last[row.lesion_id] = _size(row, measure)
    return {visit: _turnover(sizes) for visit, sizes in lost.items()}


def _turnover(sizes: Sequence[float | None]) -> _Turnover:
    known = [size for size in sizes if size is not None]
    return _Turnover(len(sizes), sum(known) if len(known) == len(sizes) else None)
