"""Days from dates, the baseline a protocol names, and the windows of its schedule."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trialscan.study import Patient, Protocol, load_study

SCHEDULE = """\
visits:
  baseline: {baseline}
  schedule:
    - {{visit: BL, day: 0, window_days: [-2, 0]}}
    - {{visit: W4, day: 28, window_days: [-3, 3]}}
    - {{visit: W8, day: 56}}
"""


@pytest.fixture
def load(trial_folder: Path, make_protocol: Callable[[str], Protocol]) -> Callable[..., tuple[Patient, ...]]:
    def patients(text: str, extra: str = "") -> tuple[Patient, ...]:
        manifest = trial_folder / "manifest.csv"
        manifest.write_text(text, encoding="utf-8")
        return load_study(manifest, make_protocol(extra)).patients

    return patients


Load = Callable[..., tuple[Patient, ...]]
DATES = "patient_id,visit,scan_date,scan\np1,W4,2024-03-01,a.nii\np1,BL,2024-02-01,b.nii\np1,SCR,2024-01-30,c.nii\n"


def test_dates_are_counted_from_the_first_visit(load: Load):
    (patient,) = load(DATES)
    assert [(v.visit, v.study_day) for v in patient.visits] == [("SCR", 0), ("BL", 2), ("W4", 31)]
    assert patient.baseline is patient.visits[0]


def test_dates_are_counted_from_the_named_baseline_across_a_leap_day(load: Load):
    (patient,) = load(DATES, "visits: {baseline: BL}\n")
    assert [(v.visit, v.study_day) for v in patient.visits] == [("SCR", -2), ("BL", 0), ("W4", 29)]
    assert patient.baseline is patient.visits[1]


def test_without_the_named_baseline_dates_are_counted_from_the_first_and_there_is_none(load: Load):
    (patient,) = load(DATES, "visits: {baseline: D0}\n")
    assert [v.study_day for v in patient.visits] == [0, 2, 31]
    assert patient.baseline is None


def test_days_come_before_dates_and_need_not_agree_with_them(load: Load):
    (patient,) = load(
        "patient_id,visit,study_day,scan_date,scan\np1,BL,1,2024-02-01,a.nii\np1,W4,29,2024-02-29,b.nii\np1,W8,60,,c.nii\n"
    )
    assert [v.study_day for v in patient.visits] == [1, 29, 60]


def test_dates_serve_where_a_patient_lacks_a_day(load: Load):
    first, second = load(
        "patient_id,visit,study_day,scan_date,scan\np1,BL,5,2024-02-01,a.nii\np1,W4,,2024-02-29,b.nii\np2,BL,7,,c.nii\n"
    )
    assert [v.study_day for v in first.visits] == [0, 28]
    assert [v.study_day for v in second.visits] == [7]


def test_days_for_some_visits_and_dates_for_others_are_refused(manifest_faults: Callable[..., list[str]]):
    text = "patient_id,visit,study_day,scan_date,scan\np1,BL,5,,a.nii\np1,W4,,2024-02-29,b.nii\n"
    assert manifest_faults(text) == [
        "manifest.csv:2: scan_date: other visits of patient p1 have a scan_date only; give all visits the same"
    ]


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        ("31.01.2024", "2024-03-01", "2: scan_date: '31.01.2024' is not a date as YYYY-MM-DD"),
        ("20240131", "2024-03-01", "2: scan_date: '20240131' is not a date as YYYY-MM-DD"),
        ("2023-02-29", "2024-03-01", "2: scan_date: '2023-02-29' is not a day of the calendar"),
        ("2024-03-01", "2024-03-01", "3: scan_date: patient p1 has another visit on the same day in line 2"),
        ("0224-03-01", "2024-03-01", "3: scan_date: 657437 days from the baseline are more than a hundred years"),
    ],
)
def test_a_date_at_fault_is_told(manifest_faults: Callable[..., list[str]], first: str, second: str, fault: str):
    text = f"patient_id,visit,scan_date,scan\np1,BL,{first},a.nii\np1,W4,{second},b.nii\n"
    assert manifest_faults(text) == [f"manifest.csv:{fault}"]


@pytest.mark.parametrize(
    ("baseline", "days", "expected"),
    [
        ("BL", {"BL": 0, "W4": 25, "W8": 56}, [True, True, True]),
        ("BL", {"BL": 0, "W4": 24, "W8": 57}, [True, False, False]),
        ("BL", {"BL": 10, "W4": 41, "W8": 66}, [True, True, True]),
        ("BL", {"SCR": -5, "BL": 0, "W4": 32}, [None, True, False]),
        ("BL", {"W4": 28, "W8": 56}, [None, None]),
        ("first", {"BL": 0, "W4": 31, "EXTRA": 40}, [True, True, None]),
        ("first", {"W4": 28, "W8": 56}, [True, True]),
        ("first", {"W4": 28, "W8": 57}, [True, False]),
        ("first", {"SCR": 0, "W4": 30}, [None, True]),
    ],
)
def test_windows_are_counted_from_the_baseline(
    load: Load, baseline: str, days: dict[str, int], expected: list[bool | None]
):
    rows = "".join(f"p1,{visit},{day},{scan}.nii\n" for (visit, day), scan in zip(days.items(), "abcdef", strict=False))
    (patient,) = load("patient_id,visit,study_day,scan\n" + rows, SCHEDULE.format(baseline=baseline))
    assert [visit.in_window for visit in patient.visits] == expected


def test_without_a_schedule_no_window_is_judged(load: Load):
    (patient,) = load("patient_id,visit,study_day,scan\np1,BL,0,a.nii\n")
    assert patient.visits[0].in_window is None
