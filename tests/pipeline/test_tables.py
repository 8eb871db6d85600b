"""Tables hold what the patients' rows say, in fixed order and type, with nothing dropped."""

from pathlib import Path

import pandas as pd
import pytest

from trialscan.errors import ProtocolError
from trialscan.pipeline.tables import (
    AnalysisSources,
    analysis_table,
    lesions_table,
    parameters,
    scan_columns,
    scans_table,
    write_table,
)

CLASSES = ("ground_glass", "consolidation")


def _scan(patient: str, visit: str, day: int | None, burden: float | None, **more):
    return {
        "patient_id": patient,
        "visit": visit,
        "study_day": day,
        "is_baseline": visit == "BL",
        "burden_ml": burden,
        "status": "failed" if burden is None else "ok",
        "image_sha256": f"{patient}{visit}",
        **more,
    }


ROWS = [
    _scan("p2", "BL", 0, 50.0),
    _scan("p1", "V2", 28, 30.0),
    _scan("p1", "BL", 0, 40.0),
    _scan("p1", "V3", 60, None),
    _scan("p2", "V2", None, None, status="missing"),
    _scan("p3", "V2", 30, 10.0),
    _scan("p4", "BL", 0, 0.0),
    _scan("p4", "V2", 30, 5.0),
]


def _sources(**changes) -> AnalysisSources:
    values = {
        "study_id": "demo",
        "measured": parameters(["burden_ml"]),
        "arm_of": {"p1": "treated", "p2": "control", "p3": None, "p4": "control"},
        "visit_number": {"BL": 0, "V2": 1, "V3": 2},
        "covariates": {"site": {"p1": "A", "p2": "B", "p3": "A", "p4": ""}},
    }
    return AnalysisSources(**(values | changes))


def test_scans_are_sorted_and_complete():
    table = scans_table(ROWS, CLASSES)
    assert list(table.columns) == list(scan_columns(CLASSES))
    assert list(zip(table["patient_id"], table["visit"], strict=True)) == [
        ("p1", "BL"),
        ("p1", "V2"),
        ("p1", "V3"),
        ("p2", "BL"),
        ("p2", "V2"),
        ("p3", "V2"),
        ("p4", "BL"),
        ("p4", "V2"),
    ]


def test_analysis_follows_adam():
    table = analysis_table(scans_table(ROWS, CLASSES), _sources()).set_index(["USUBJID", "AVISIT"])
    assert table.loc[("p1", "V2"), ["AVAL", "BASE", "CHG", "PCHG"]].tolist() == [30.0, 40.0, -10.0, -25.0]
    assert table.loc[("p1", "BL"), "ABLFL"] == "Y"
    assert pd.isna(table.loc[("p1", "BL"), "CHG"])
    assert table.loc[("p1", "V2"), "TRT01P"] == "treated"
    assert table.loc[("p1", "V2"), "SITE"] == "A"
    assert table.loc[("p1", "V2"), "SRCIMG"] == "p1V2"


def test_a_failed_scan_stays_without_a_value_and_a_missing_one_has_no_record():
    table = analysis_table(scans_table(ROWS, CLASSES), _sources()).set_index(["USUBJID", "AVISIT"])
    assert pd.isna(table.loc[("p1", "V3"), "AVAL"])
    assert pd.isna(table.loc[("p1", "V3"), "ANL01FL"])
    assert ("p2", "V2") not in table.index


def test_without_a_baseline_there_is_no_change_and_from_zero_no_percentage():
    table = analysis_table(scans_table(ROWS, CLASSES), _sources()).set_index(["USUBJID", "AVISIT"])
    assert table.loc[("p3", "V2"), ["BASE", "CHG", "PCHG"]].isna().all()
    assert table.loc[("p4", "V2"), "CHG"] == 5.0
    assert pd.isna(table.loc[("p4", "V2"), "PCHG"])


def test_new_lesions_are_counts_without_a_baseline():
    rows = [{**row, "new_lesion_count": None if row["visit"] == "BL" else 2} for row in ROWS]
    scans = scans_table(rows, CLASSES)
    assert str(scans["new_lesion_count"].dtype) == "Int64"
    table = analysis_table(scans, _sources(measured=parameters(["new_lesion_count"])))
    table = table.set_index(["USUBJID", "AVISIT"])
    assert table.loc[("p1", "V2"), "AVAL"] == 2.0
    assert table.loc[("p1", "BL"), "ABLFL"] == "Y"
    assert table["BASE"].isna().all()
    assert pd.isna(table.loc[("p1", "BL"), "ANL01FL"])


def test_an_unassigned_patient_keeps_an_empty_arm():
    table = analysis_table(scans_table(ROWS, CLASSES), _sources())
    assert table.loc[table["USUBJID"] == "p3", "TRT01P"].isna().all()


@pytest.mark.parametrize(
    ("measure", "code", "label"),
    [
        ("burden_ml", "BURDENML", "Burden (ml)"),
        ("burden_percent", "BURDENPC", "Burden (%)"),
        ("ground_glass_ml", "GRNGLSML", "Ground glass (ml)"),
        ("lesion_count", "LESIONNO", "Lesion (count)"),
        ("new_lesion_count", "NEWLES", "New lesions since the last assessed visit (count)"),
    ],
)
def test_parameter_codes_fit_adam(measure: str, code: str, label: str):
    (parameter,) = parameters([measure])
    assert (parameter.code, parameter.label) == (code, label)
    assert len(parameter.code) <= 8


def test_two_measures_with_one_code_are_refused():
    with pytest.raises(ProtocolError, match="share the code"):
        parameters(["consolidation_ml", "consolidated_ml"])


def test_csv_and_parquet_hold_the_same_and_repeat_byte_for_byte(tmp_path: Path):
    table = analysis_table(scans_table(ROWS, CLASSES), _sources())
    first = [path.read_bytes() for path in write_table(table, tmp_path / "a")]
    second = [path.read_bytes() for path in write_table(table, tmp_path / "a")]
    assert first == second
    read = pd.read_csv(tmp_path / "a.csv")
    assert read["AVAL"].equals(pd.read_parquet(tmp_path / "a.parquet")["AVAL"])


def test_the_order_of_rows_does_not_matter(tmp_path: Path):
    forward, backward = scans_table(ROWS, CLASSES), scans_table(ROWS[::-1], CLASSES)
    write_table(forward, tmp_path / "f")
    write_table(backward, tmp_path / "b")
    assert (tmp_path / "f.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_no_rows_give_empty_tables():
    assert lesions_table([]).empty
    assert analysis_table(scans_table([], CLASSES), _sources()).empty
