import pytest

from trialscan.errors import InputError
from trialscan.phantom import load_design

GOOD = """
title: T
seed: 3
arms:
  a: {patients: 2, slope_per_day: -0.02}
  b: {patients: 3, slope_per_day: 0.0}
visits: {V0: 0, V1: 14}
missed:
  - {patient: P002, visit: V1}
"""


def written(tmp_path, text):
    path = tmp_path / "design.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_design_is_read_with_its_defaults(tmp_path):
    design = load_design(written(tmp_path, GOOD))
    assert design.patient_ids == ("P001", "P002", "P003", "P004", "P005")
    assert design.visits == {"V0": 0, "V1": 14}
    assert design.burden.visit_sd == 0.03


@pytest.mark.parametrize(
    ("found", "put", "where", "message"),
    [
        ("patients: 2", "patients: 0", "design.yaml:5:7: arms.a.patients", "greater than or equal to 1"),
        ("slope_per_day: -0.02", "slope_per_day: fast", "design.yaml:5:20: arms.a.slope_per_day", "'fast'"),
        ("V1: 14}", "V1: 0}", "design.yaml", "do not rise"),
        ("title: T", "titel: T", "design.yaml:2:1: titel", "extra"),
        ("P002", "P077", "design.yaml", "P077"),
        ("seed: 3", "seed: [", "design.yaml", "not valid YAML"),
        ("visits: {V0: 0, V1: 14}", "", "design.yaml", "required"),
        ("visits:", "lesions: {count: [4, 2]}\nvisits:", "design.yaml:7:1: lesions", "rising"),
        ("visits:", "scans: {spacing_mm: [0.1, 1, 1]}\nvisits:", "design.yaml:7:1: scans", "0.6"),
    ],
)
def test_faults_are_told_where_they_stand(tmp_path, found, put, where, message):
    with pytest.raises(InputError) as caught:
        load_design(written(tmp_path, GOOD.replace(found, put)))
    assert caught.value.exit_code == 3
    assert any(fault.where.startswith(where) and message in fault.message for fault in caught.value.faults)


def test_every_fault_is_told_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        load_design(written(tmp_path, GOOD.replace("patients: 2", "patients: 0").replace("seed: 3", "seed: -1")))
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "just text"])
def test_a_file_that_is_no_design_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="holds no fields"):
        load_design(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        load_design(tmp_path / "nowhere.yaml")
