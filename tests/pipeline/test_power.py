"""`trialscan simulate DESIGN --power`: files, the same for any number of processes, and an interruption."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import trialscan
from trialscan.cli.main import main
from trialscan.cli.simulate import simulate
from trialscan.errors import InputError, UsageError
from trialscan.pipeline.power import CHUNK, simulate_power
from trialscan.statistics.power import PowerDesign
from trialscan.study.design_file import read_design

DESIGN = """
seed: 5
simulations: 30
arms:
  control: {patients: 8}
  treated: {patients: 8, effect_per_day: -0.02}
visits: {V1: 0, V2: 14, V3: 28}
covariance: {structure: cs, sd: 1.0, correlation: 0.5}
drop_out: {share: 0.2}
"""
SHIPPED = Path(__file__).parents[2] / "sample_manifests" / "power_mmrm.yaml"


@pytest.fixture
def design(tmp_path):
    path = tmp_path / "design.yaml"
    path.write_text(DESIGN, encoding="utf-8")
    return path


def test_any_number_of_jobs_gives_the_same_bytes(design, tmp_path):
    told = []
    result = simulate_power(design, tmp_path / "one", 1, lambda done, total: told.append((done, total)))
    trialscan.simulate_power(design, tmp_path / "two", jobs=2)
    names = ["power.csv", "power.json", "power.parquet", "trials.csv", "trials.parquet"]
    for out in ("one", "two"):
        assert sorted(path.name for path in (tmp_path / out).iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert told == [(CHUNK, 60), (30, 60), (30 + CHUNK, 60), (60, 60)]
    trials = pd.read_csv(tmp_path / "one" / "trials.csv")
    assert len(trials) == len(result.trials) == 60
    power = result.summary.set_index(["scenario", "statistic"])["value"][("design", "power")]
    assert power == np.mean(trials.loc[trials["scenario"] == "design", "p"] < 0.05)


def test_power_json_holds_the_design_the_counts_and_the_software(design, tmp_path):
    result = simulate_power(design, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "power.json").read_text(encoding="utf-8"))
    assert PowerDesign.model_validate(document["design"]) == result.design
    assert [counts["scenario"] for counts in document["counts"]] == ["null", "design"]
    for counts in document["counts"]:
        assert sum(counts["by_status"].values()) == counts["simulated"] == 30
        assert len(counts["failed"]) == counts["by_status"].get("failed", 0)
    assert len(document["results"]) == len(result.summary)
    assert document["software"]["trialscan"] == trialscan.__version__


def test_the_command_says_every_figure(design, tmp_path):
    said = CliRunner().invoke(simulate, [str(design), "--power", "--out", str(tmp_path / "a"), "--jobs", "1"])
    assert said.exit_code == 0, said.output
    assert "type_i_error" in said.output
    assert "Monte-Carlo standard error" in said.output
    said = CliRunner().invoke(simulate, [str(design), "--power", "--out", str(tmp_path / "b"), "--jobs", "1", "--json"])
    rows = json.loads(said.output)["results"]
    assert {row["statistic"] for row in rows} >= {"power", "type_i_error", "coverage", "bias", "failed_share"}


def test_the_shipped_design_can_be_read():
    design = read_design(SHIPPED, PowerDesign)
    assert design.analysis.baseline
    assert design.measurement.standard_deviation == pytest.approx(0.0947, abs=1e-4)


def test_bad_input_is_refused(tmp_path, design):
    with pytest.raises(UsageError, match="jobs"):
        simulate_power(design, tmp_path / "out", 0)
    design.write_text(DESIGN.replace("share: 0.2", "share: 2"), encoding="utf-8")
    with pytest.raises(InputError, match=r"design\.yaml:9:12: drop_out\.share"):
        simulate_power(design, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_stops_all_processes_and_leaves_no_files(design, tmp_path, jobs):
    design.write_text(DESIGN.replace("simulations: 30", "simulations: 100000"), encoding="utf-8")
    told = []

    def interrupt(done, total):
        told.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_power(design, tmp_path / "out", jobs, interrupt)
    assert told == [(CHUNK, 200_000)]
    assert not (tmp_path / "out").exists()
    for process in multiprocessing.active_children():
        process.join(timeout=60)
    assert not multiprocessing.active_children()


def test_ctrl_c_ends_the_command_with_130(design, tmp_path, monkeypatch, capsys):
    def interrupt(design, out, jobs, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr("trialscan.cli.simulate.simulate_power", interrupt)
    monkeypatch.setattr("sys.argv", ["trialscan", "simulate", str(design), "--power", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "interrupted" in capsys.readouterr().err
