"""Measurement error from repeated scans: the numbers are those of the volumes, and a protocol can take the fragment."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import trialscan
from trialscan.cli.repeatability import repeatability
from trialscan.errors import LesionError
from trialscan.study import load_protocol

UNALIGNED = "registration: {method: none}\n"


def _protocol(trial: Path, tmp_path: Path) -> Path:
    lines = (trial.parent / "protocol.yaml").read_text().splitlines(keepends=True)
    path = tmp_path / "repeats.yaml"
    path.write_text("".join(UNALIGNED if line.startswith("registration") else line for line in lines))
    return path


@pytest.fixture(scope="module")
def measured(trial: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini trial taken as if nothing changed between its visits, one of its patients on another scanner at W4."""
    tmp_path = tmp_path_factory.mktemp("repeats")
    manifest = pd.read_csv(trial, dtype=str)
    other = (manifest["patient_id"] == "P01") & (manifest["visit"] == "W4")
    path = trial.parent / "repeats.csv"
    manifest.assign(scanner=np.where(other, "B", "A")).to_csv(path, index=False)
    trialscan.repeatability(path, _protocol(trial, tmp_path), tmp_path / "out", jobs=1)
    path.unlink()
    return tmp_path / "out"


def test_estimates_are_those_of_the_lesions_volumes(measured: Path):
    lesions = pd.read_csv(measured / "run" / "tables" / "lesions.csv")
    volumes = lesions.pivot(index=["patient_id", "lesion_id"], columns="visit", values="volume_ml")
    ratios = pd.concat([np.log(volumes["W2"] / volumes["BL"]), np.log(volumes["W4"] / volumes["W2"])]).dropna()
    pairs = pd.read_csv(measured / "repeatability_pairs.csv")
    assert sorted(np.log(pairs["ratio"])) == pytest.approx(sorted(ratios))
    assert len(pairs) == 22
    assert (pairs["scanners"] == "different").sum() == 2
    table = pd.read_csv(measured / "repeatability.csv")
    bands = table[(table["subject"] == "lesion")]
    assert len(pairs) - 3 <= bands["pairs"].sum() <= len(pairs)  # a class of a single pair has no estimate
    assert set(bands["max_slice_mm"]) == {4.0}
    for row in bands.itertuples():
        ends = [0.0, 0.3, 1.0, 3.0, 10.0, np.inf]
        upper = ends[ends.index(row.from_ml) + 1]
        some = pairs[
            (pairs["mean_ml"] >= row.from_ml) & (pairs["mean_ml"] < upper) & (pairs["scanners"] == row.scanners)
        ]
        assert row.sd_log == pytest.approx(np.sqrt((np.log(some["ratio"]) ** 2).mean() / 2))
        assert row.sd_log_lower < row.sd_log < row.sd_log_upper
        assert (1 + row.increase_percent / 100) * (1 + row.decrease_percent / 100) == pytest.approx(1)
    (burden,) = table[table["subject"] == "burden"].itertuples()
    totals = lesions.groupby(["patient_id", "visit"])["volume_ml"].sum(min_count=1).unstack()
    steps = pd.concat([np.log(totals["W2"] / totals["BL"]), np.log(totals["W4"] / totals["W2"])]).dropna()
    assert burden.sd_log == pytest.approx(np.sqrt((steps**2).mean() / 2))
    assert np.log1p(burden.bias_percent / 100) == pytest.approx(steps.mean())


def test_a_protocol_takes_the_fragment(measured: Path, trial: Path, tmp_path: Path):
    joined = tmp_path / "joined.yaml"
    joined.write_text(_protocol(trial, tmp_path).read_text() + (measured / "repeatability.yaml").read_text())
    settings = load_protocol(joined).lesions
    table = pd.read_csv(measured / "repeatability.csv")
    kept = table[(table["subject"] == "lesion") & (table["scanners"] == "same") & (table["pairs"] >= 10)]
    assert [band.sd_log for band in settings.repeatability] == pytest.approx(kept["sd_log"].tolist(), abs=5e-4)
    assert len(settings.repeatability) >= 1
    assert 0 <= settings.repeatability_common <= 1
    assert (measured / "repeatability.svg").read_text().startswith("<?xml")


def test_the_command_says_the_same_again_and_refuses_single_scans(measured: Path, trial: Path, tmp_path: Path):
    protocol = str(_protocol(trial, tmp_path))
    again = CliRunner().invoke(
        repeatability, [str(trial), "--protocol", protocol, "--out", str(tmp_path / "again"), "--jobs", "1", "--json"]
    )
    assert again.exit_code == 0, again.output
    facts = json.loads(again.stdout)
    assert facts["status"] == "complete"
    assert all(row["sd_log"] > 0 for row in facts["repeatability"])
    single = trial.parent / "single.csv"
    pd.read_csv(trial, dtype=str).query("visit == 'BL'").to_csv(single, index=False)
    with pytest.raises(LesionError, match="0 lesions measured twice"):
        trialscan.repeatability(single, protocol, tmp_path / "single", jobs=1)
    single.unlink()
    names = ("repeatability.csv", "repeatability.yaml", "repeatability.svg", "repeatability_pairs.csv")
    first = {name: (measured / name).read_bytes() for name in names}
    assert all(first.values())
