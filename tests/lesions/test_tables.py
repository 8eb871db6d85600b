import json
import re
from pathlib import Path

import numpy as np
import pytest

from trialscan.lesions import lesion_rows, measures, track_patient

HERE, THERE = (30.0, 30.0, 30.0), (45.0, 45.0, 45.0)


@pytest.fixture
def history(scene, settings):
    canvas = scene()
    return track_patient(
        [
            canvas.visit("V1", 0, (HERE, 6), (THERE, 5), settings=settings),
            canvas.visit("V2", 30, (HERE, 7), settings=settings),
        ],
        settings,
    )


def test_columns_are_those_of_the_architecture(history):
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text("utf-8")
    listed = re.search(r"`lesions\.csv`: (.*?)\.\n", page, re.DOTALL).group(1)
    names = [re.match(r"\w+", name).group() for name in re.sub(r"\(.*?\)", "", listed).replace("\n", " ").split(", ")]
    assert all(list(row) == names for row in lesion_rows("P1", history))


def test_a_row_is_plain_values(history):
    rows = lesion_rows("P1", history)
    assert [(row["visit"], row["lesion_id"], row["change"]) for row in rows] == [
        ("V1", "L01", None),
        ("V1", "L02", None),
        ("V2", "L01", "growing"),
        ("V2", "L02", "resolved"),
    ]
    assert rows[2]["predecessors"] == "L01"
    assert rows[2]["centroid_x_mm"] == pytest.approx(30, abs=0.1)
    assert rows[0]["predecessors"] is rows[0]["note"] is None
    assert rows[2]["change_probability"] > 0.975
    assert {type(value) for row in rows for value in row.values()} <= {str, int, float, type(None)}


def test_measures_survive_json_and_hold_every_lesion(scene, settings):
    findings = scene().findings((HERE, 6), (THERE, 5), settings=settings)
    held = measures(findings)
    text = json.dumps(held, allow_nan=False)
    assert list(held) == ["burden", "lesions", "scan"]
    assert held["scan"] == {"slice_mm": 1.0, "scanner": ""}
    assert [lesion["number"] for lesion in json.loads(text)["lesions"]] == [1, 2]
    assert json.loads(text)["burden"]["burden_ml"] == findings.burden.burden_ml
    assert json.dumps(measures(scene().findings((HERE, 6), (THERE, 5), settings=settings))) == text


def test_unknown_spacing_is_null_in_json_and_empty_in_the_table(scene, settings):
    canvas = scene((80, 80, 1), spacing_known=False)
    visit = canvas.visit("V1", 0, ((40, 40, 0), 9), settings=settings)
    held = measures(visit.findings)
    assert held["burden"]["burden_ml"] is held["lesions"][0]["volume_ml"] is None
    assert held["lesions"][0]["centroid_unit"] == "pixel"
    (row,) = lesion_rows("P1", track_patient([visit], settings))
    assert row["volume_ml"] is row["centroid_x_mm"] is row["longest_diameter_mm"] is None
    assert row["organ_percent"] == pytest.approx(100 * np.pi * 81 / 6400, rel=0.03)
