"""When visits took place: days, dates, and the windows of the schedule."""

import re
from collections.abc import Mapping, Sequence
from datetime import date

from trialscan.study.entities import FIRST, Patient
from trialscan.study.sections import VisitSettings

INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
FURTHEST_DAY = 36525  # a hundred years; beyond it a date was typed where a day belongs


class TimingError(ValueError):
    """A day or date that cannot be used; the text says why."""


def parse_day(text: str) -> int:
    """A study day as a whole number; raises TimingError."""
    if INTEGER.fullmatch(text) is None:
        raise TimingError(f"{text!r} is not a whole number of days")
    day = int(text)
    if abs(day) > FURTHEST_DAY:
        raise TimingError(f"day {day} is more than a hundred years away; dates belong in scan_date")
    return day


def parse_date(text: str) -> date:
    """A calendar date written YYYY-MM-DD; raises TimingError."""
    if ISO_DATE.fullmatch(text) is None:
        raise TimingError(f"{text!r} is not a date as YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TimingError(f"{text!r} is not a day of the calendar") from None


def days_from_dates(dates: Mapping[str, date], baseline: str) -> dict[str, int]:
    """Days of a patient's visits since the visit `baseline`; since the first where that is 'first' or absent."""
    first = min(dates.values())
    origin = first if baseline == FIRST else dates.get(baseline, first)
    return {visit: (day - origin).days for visit, day in dates.items()}


def windows(patient: Patient, settings: VisitSettings) -> Sequence[bool | None]:
    """For each visit, whether it took place within its window, counted from the patient's baseline.

    Days are compared as distances from the baseline: the visit's study day minus the baseline's, against the planned
    day minus the one planned for the visit that serves as baseline (0 where that visit is not scheduled). None where
    the visit is not scheduled or there is no baseline.
    """
    planned = {entry.visit: entry for entry in settings.schedule}
    baseline = patient.baseline
    if baseline is None:
        return [None] * len(patient.visits)
    origin = planned[baseline.visit].day if baseline.visit in planned else 0
    answers: list[bool | None] = []
    for visit in patient.visits:
        entry = planned.get(visit.visit)
        if entry is None:
            answers.append(None)
            continue
        early, late = entry.window_days
        offset = (visit.study_day - baseline.study_day) - (entry.day - origin)
        answers.append(early <= offset <= late)
    return answers
