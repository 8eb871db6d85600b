"""The command: files, points, exit codes."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from trialscan.cli.register import register
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
