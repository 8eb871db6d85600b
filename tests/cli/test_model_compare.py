"""`trialscan model compare`."""

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from tests.training.comparison.test_contestants import experiment
from trialscan.cli.model import model
from trialscan.errors import InputError


def call(*arguments: str | Path):
    return CliRunner().invoke(model, ["compare", *map(str, arguments)], standalone_mode=False)


def test_ranks_are_printed_and_written(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "one")
    text = call(folder, "--out", tmp_path / "tables").output
    assert text.index("tuning/tuned") < text.index("tuning/scratch")
    assert "no subgroup differs beyond chance" in text
    assert pd.read_csv(tmp_path / "tables/ranking.csv")["rank"].tolist() == [1, 2]
    rows = json.loads(call(folder, "--json").output)
    difference = pd.read_csv(tmp_path / "tables/pairs.csv")["difference"].item()
    assert rows["pairs"][0]["difference"] == pytest.approx(difference, rel=1e-14)
    assert (tmp_path / "tables/subgroups.csv").is_file()


def test_what_is_no_experiment_is_refused(tmp_path: Path) -> None:
    assert isinstance(call(tmp_path).exception, InputError)
