"""One course over a patient's visits: change, nadir, best response and progression of a size with its error."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trialscan.lesions.error import TWO_SIDED_95, Measured, difference_sd, interval, scan_difference, total_sd
from trialscan.lesions.history import TrajectoryRow, VisitFindings
from trialscan.lesions.placement import scan_facts
from trialscan.study.sections import LesionSettings

CourseMeasure = Literal["volume_ml", "organ_percent"]


@dataclass(frozen=True)
class Point:
    """What a visit shows of a course: its lesions, none when it shows nothing; None when it was not assessed.

    `size` is their sum, unknown where the measure is.
    """

    visit: VisitFindings
    lesions: tuple[Measured, ...] | None
    size: float | None

    @property
    def classes(self) -> Mapping[str, float]:
        """Volume of each class; empty where one is unknown or there is nothing."""
        totals: dict[str, float] = {}
        for measured in self.lesions or ():
            for name, volume_ml in measured.lesion.class_ml.items():
                if volume_ml is None:
                    return {}
                totals[name] = totals.get(name, 0.0) + volume_ml
        return totals


@dataclass(frozen=True)
class _State:
    """What the visits from the start on have shown."""

    start: Point | None = None
    nadir: Point | None = None
    best_percent: float | None = None
    progressed_day: int | None = None


def course(
    name: str, points: Sequence[Point], measure: CourseMeasure, start: str | None, settings: LesionSettings
) -> tuple[TrajectoryRow, ...]:
    """A row a visit, in the order of `points`; changes count from the visit `start`, None for a course without one."""
    state, rows = _State(), []
    for point in points:
        progressed = None
        if point.size is not None and (state.start is not None or point.visit.visit == start):
            progressed = _exceeds(state.nadir, point, measure, settings)
            state = _advance(state, point, progressed=progressed)
        rows.append(_row(name, point, measure, state, settings, progressed=progressed))
    return tuple(rows)


def percent_change(value: float | None, reference: float | None) -> float | None:
    """Change in percent of the reference; None where either is unknown or the reference is nothing."""
    return 100.0 * (value / reference - 1.0) if value is not None and reference else None


def _exceeds(nadir: Point | None, point: Point, measure: CourseMeasure, settings: LesionSettings) -> bool:
    """Whether a size lies above the nadir by more than the error of both; anything is more than nothing."""
    if nadir is None or not point.size:
        return False
    if not nadir.size:
        return True
    sd, _ = difference_sd(nadir.lesions or (), point.lesions or (), measure, settings)
    return math.log(point.size / nadir.size) > TWO_SIDED_95 * sd


def _advance(state: _State, point: Point, *, progressed: bool) -> _State:
    if state.start is None or state.nadir is None:
        return _State(point, point)
    size, least = point.size or 0.0, state.nadir.size or 0.0
    percent = percent_change(size, state.start.size)
    known = [value for value in (percent, state.best_percent) if value is not None]
    day = point.visit.study_day if progressed and state.progressed_day is None else state.progressed_day
    return _State(state.start, point if size < least else state.nadir, min(known, default=None), day)


def _row(
    name: str,
    point: Point,
    measure: CourseMeasure,
    state: _State,
    settings: LesionSettings,
    *,
    progressed: bool | None,
) -> TrajectoryRow:
    known = point.size is not None and state.start is not None
    start = state.start.size if known and state.start else None
    nadir = state.nadir.size if known and state.nadir else None
    lower, upper = _limits(state.start, point, measure, settings)
    error_lower, error_upper = _error_percent(state.start, point, measure, settings)
    return TrajectoryRow(
        course=name,
        visit=point.visit.visit,
        study_day=point.visit.study_day,
        status=point.visit.status,
        measure=measure,
        size=point.size,
        size_lower=lower,
        size_upper=upper,
        class_ml=point.classes,
        lesion_count=None if point.lesions is None else len(point.lesions),
        size_change=None if point.size is None or start is None else point.size - start,
        change_percent=percent_change(point.size, start),
        nadir=nadir,
        change_from_nadir_percent=percent_change(point.size, nadir),
        best_response_percent=state.best_percent if known else None,
        progressed=progressed,
        days_to_progression=_days(state) if known else None,
        error_lower_percent=error_lower,
        error_upper_percent=error_upper,
    )


def _days(state: _State) -> int | None:
    if state.start is None or state.progressed_day is None:
        return None
    return state.progressed_day - state.start.visit.study_day


def _error_percent(
    start: Point | None, point: Point, measure: CourseMeasure, settings: LesionSettings
) -> tuple[float | None, float | None]:
    """What 95 % of the changes from the start stay within when nothing changed, in percent of the start."""
    if start is None or start is point or not start.size or not point.size:
        return None, None
    sd, _ = difference_sd(start.lesions or (), point.lesions or (), measure, settings)
    return 100.0 * math.expm1(-TWO_SIDED_95 * sd), 100.0 * math.expm1(TWO_SIDED_95 * sd)


def _limits(
    start: Point | None, point: Point, measure: CourseMeasure, settings: LesionSettings
) -> tuple[float | None, float | None]:
    """The 95 % limits of a size; where the scan is unlike that of the start, with the error across scanners."""
    if not point.size or not point.lesions:
        return None, None
    facts = [
        scan_facts(there.visit.findings, there.visit.scanner)
        for there in (start, point)
        if there and there.visit.findings
    ]
    unlike = scan_difference(facts[:1], facts[1:])
    return interval(point.size, total_sd(point.lesions, measure, settings, across=bool(unlike)))
