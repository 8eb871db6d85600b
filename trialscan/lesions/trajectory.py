"""The courses of a patient: of the whole burden, of each family and of each lesion, visit by visit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trialscan.lesions.course import CourseMeasure, Point, course
from trialscan.lesions.error import Measured
from trialscan.lesions.history import Change, LesionRow, TrajectoryRow, VisitFindings
from trialscan.lesions.placement import scan_facts
from trialscan.study.sections import LesionSettings

BURDEN = "burden"
FEWEST_SHIFTED = 3


@dataclass(frozen=True)
class _Turnover:
    """Lesions that came or went at a visit; None where that is unknown."""

    count: int
    size: float | None


def trajectory(
    visits: Sequence[VisitFindings], rows: Sequence[LesionRow], linked: Sequence[str], settings: LesionSettings
) -> tuple[TrajectoryRow, ...]:
    """The course of the whole burden, a row a visit.

    Parameters
    ----------
    visits : in order of time.
    rows : the lesions' rows at those visits.
    linked : names of the visits whose lesions were linked with earlier ones, in order.
    """
    measure = _measure(visits)
    new, resolved, shift = _new(rows, linked, measure), _resolved(rows, linked, measure), _shifts(rows)
    points = [Point(visit, _everything(visit), _burden(visit, measure)) for visit in visits]
    start = next((visit.visit for visit in visits if visit.is_baseline), None)
    return tuple(
        replace(
            row,
            new_count=new[row.visit].count if row.visit in new else None,
            new_size=new[row.visit].size if row.visit in new else None,
            resolved_count=resolved[row.visit].count if row.visit in resolved else None,
            resolved_size=resolved[row.visit].size if row.visit in resolved else None,
            lesion_shift_mm=shift.get(row.visit),
        )
        for row in course(BURDEN, points, measure, start, settings)
    )


def courses(
    visits: Sequence[VisitFindings], rows: Sequence[LesionRow], settings: LesionSettings
) -> tuple[TrajectoryRow, ...]:
    """The course of every family of several lesions, then of every lesion; visits without a row of it are left out."""
    measure = _measure(visits)
    named = [row for row in rows if row.family]
    groups: dict[str, list[LesionRow]] = {}
    for row in sorted(named, key=lambda row: int(row.family[1:])):
        groups.setdefault(row.family, []).append(row)
    groups = {name: kin for name, kin in groups.items() if len({row.lesion_id for row in kin}) > 1}
    for row in sorted(named, key=lambda row: int(row.lesion_id[1:])):
        groups.setdefault(row.lesion_id, []).append(row)
    return tuple(line for name, kin in groups.items() for line in _group_course(name, kin, visits, measure, settings))


def _group_course(
    name: str,
    rows: Sequence[LesionRow],
    visits: Sequence[VisitFindings],
    measure: CourseMeasure,
    settings: LesionSettings,
) -> tuple[TrajectoryRow, ...]:
    held: dict[str, list[LesionRow]] = {}
    for row in rows:
        held.setdefault(row.visit, []).append(row)
    points = [_group_point(visit, held[visit.visit], measure) for visit in visits if visit.visit in held]
    return course(name, points, measure, _start(points, visits), settings)


def _start(points: Sequence[Point], visits: Sequence[VisitFindings]) -> str | None:
    """The first visit that shows the lesions, from the baseline on where there is one."""
    order = [visit.visit for visit in visits]
    first = next((place for place, visit in enumerate(visits) if visit.is_baseline), 0)
    seen = (point.visit.visit for point in points if point.size and order.index(point.visit.visit) >= first)
    return next(seen, None)


def _group_point(visit: VisitFindings, rows: Sequence[LesionRow], measure: CourseMeasure) -> Point:
    findings = visit.findings
    if findings is None or any(row.lesion is None and row.change is Change.NOT_ASSESSED for row in rows):
        return Point(visit, None, None)
    facts = scan_facts(findings, visit.scanner)
    lesions = tuple(Measured(row.lesion, facts) for row in rows if row.lesion is not None)
    return Point(visit, lesions, _total([getattr(one.lesion, measure) for one in lesions]))


def _everything(visit: VisitFindings) -> tuple[Measured, ...] | None:
    if visit.findings is None:
        return None
    facts = scan_facts(visit.findings, visit.scanner)
    return tuple(Measured(lesion, facts) for lesion in visit.findings.lesions)


def _measure(visits: Sequence[VisitFindings]) -> CourseMeasure:
    found = [visit.findings.burden for visit in visits if visit.findings is not None]
    return "volume_ml" if all(burden.burden_ml is not None for burden in found) else "organ_percent"


def _burden(visit: VisitFindings, measure: CourseMeasure) -> float | None:
    if visit.findings is None:
        return None
    burden = visit.findings.burden
    return burden.burden_ml if measure == "volume_ml" else burden.burden_percent


def _total(sizes: Sequence[float | None]) -> float | None:
    known = [size for size in sizes if size is not None]
    return float(sum(known)) if len(known) == len(sizes) else None


def _new(rows: Sequence[LesionRow], linked: Sequence[str], measure: CourseMeasure) -> Mapping[str, _Turnover]:
    return {
        visit: _turnover([getattr(row, measure) for row in rows if row.visit == visit and row.change is Change.NEW])
        for visit in linked[1:]
    }


def _resolved(rows: Sequence[LesionRow], linked: Sequence[str], measure: CourseMeasure) -> Mapping[str, _Turnover]:
    """What each visit lost, by the size at which each lost lesion was last seen."""
    last: dict[str, float | None] = {}
    lost: dict[str, list[float | None]] = {visit: [] for visit in linked[1:]}
    for row in rows:
        if row.change is Change.RESOLVED:
            lost[row.visit].append(last[row.lesion_id])
        elif row.label is not None:
            last[row.lesion_id] = getattr(row, measure)
    return {visit: _turnover(sizes) for visit, sizes in lost.items()}


def _turnover(sizes: Sequence[float | None]) -> _Turnover:
    return _Turnover(len(sizes), _total(sizes))


def _shifts(rows: Sequence[LesionRow]) -> dict[str, float]:
    """Drift by visit: length of the median displacement of lesions that continue themselves alone."""
    last: dict[str, tuple[float, float, float]] = {}
    moved: dict[str, list[tuple[float, ...]]] = {}
    for row in rows:
        if row.label is None or row.centroid_mm is None:
            continue
        single = row.predecessors == (row.lesion_id,) and row.change not in {Change.MERGED, Change.SPLIT}
        if single and row.lesion_id in last:
            step = np.subtract(row.centroid_mm, last[row.lesion_id])
            moved.setdefault(row.visit, []).append(tuple(step.tolist()))
        last[row.lesion_id] = row.centroid_mm
    return {
        visit: float(np.linalg.norm(np.median(steps, axis=0)))
        for visit, steps in moved.items()
        if len(steps) >= FEWEST_SHIFTED
    }
