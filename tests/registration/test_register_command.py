"""The command: files, points, exit codes."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import trialscan
from trialscan.cli.register import register
from trialscan.errors import UsageError
from trialscan.imaging import write_volume


@pytest.fixture
def files(rigid_pair, tmp_path):
    for name in ("fixed", "moving", "fixed_mask", "moving_mask"):
        write_volume(tmp_path / f"{name}.nii.gz", getattr(rigid_pair, name))
    pd.DataFrame(rigid_pair.points[:5], columns=["x", "y", "z"]).to_csv(tmp_path / "points.csv", index=False)
    return tmp_path


def call(files, *extra: str):
    words = [str(files / "fixed.nii.gz"), str(files / "moving.nii.gz"), "--out", str(files / "out")]
    masks = ["--fixed-mask", str(files / "fixed_mask.nii.gz"), "--moving-mask", str(files / "moving_mask.nii.gz")]
    return CliRunner().invoke(register, [*words, *masks, "--spacing", "4", *extra], standalone_mode=False)


def test_points_and_transform_are_written(files, rigid_pair):
    result = call(files, "--method", "rigid", "--points", str(files / "points.csv"))
    assert result.exception is None
    assert result.return_value == 0
    assert result.stdout.startswith("pass: rigid (simpleitk)")
    mapped = pd.read_csv(files / "out" / "points_followup.csv")
    truth = rigid_pair.truth(rigid_pair.points[:5])
    assert np.abs(mapped[["followup_x", "followup_y", "followup_z"]].to_numpy() - truth).max() < 2.0
    assert (files / "out" / "to_baseline.affine.tfm").is_file()


def test_json_is_one_object(files):
    result = call(files, "--method", "none", "--json")
    facts = json.loads(result.stdout)
    assert (facts["status"], facts["rung"]) == ("pass", "none")


def test_a_failed_alignment_exits_with_4_and_says_why(files, rigid_pair):
    empty = rigid_pair.moving_mask.with_array(np.zeros_like(rigid_pair.moving_mask.array))
    write_volume(files / "moving_mask.nii.gz", empty)
    result = call(files)
    assert result.return_value == 4
    assert "the organ mask of the follow-up is empty" in result.stderr


def facts_of(files, *extra: str):
    return json.loads(call(files, "--json", *extra).stdout)


def test_a_protocol_gives_method_limits_and_units_and_options_go_before_it(files, tmp_path):
    protocol = tmp_path / "p.yaml"
    protocol.write_text(
        "study: {id: p, title: t, modality: CT}\n"
        "segmentation: {model: null, organ_name: bean, reader_lesion_labels: {1: lesion}}\n"
        "registration: {method: rigid, spacing_mm: 9, limits: {min_organ_dice: 0.999}}\n"
        "endpoints: {primary: {measure: burden_ml}}\n"
    )
    plain = facts_of(files, "--method", "rigid")
    planned = facts_of(files, "--protocol", str(protocol))
    assert (plain["status"], planned["status"]) == ("pass", "review")
    assert planned["rung"] == "rigid"
    assert "organ Dice" in " ".join(planned["notes"])
    assert facts_of(files, "--protocol", str(protocol), "--method", "none")["rung"] == "none"


def test_the_further_fields_have_flags(files):
    found = facts_of(files, "--method", "rigid", "--check-backwards", "--max-stretch", "3")
    assert found["quality"]["forward_backward_mm_p95"] < 2.0
    assert any(rung["name"] == "stretch" for rung in json.loads((files / "out/to_baseline.json").read_text())["rungs"])
    assert facts_of(files, "--method", "rigid")["quality"]["forward_backward_mm_p95"] is None


def test_python_takes_the_same_fields_and_refuses_others(files):
    paths = [files / name for name in ("fixed.nii.gz", "moving.nii.gz", "out")]
    with pytest.raises(UsageError, match="spacing_mm: -1"):
        trialscan.register(*paths, spacing_mm=-1.0)
    with pytest.raises(UsageError, match="smoothness"):
        trialscan.register(*paths, smoothness=2)
