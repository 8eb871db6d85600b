"""The main job on a small trial: complete, repeatable, resumable, blind, and honest about what failed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trialscan.audit import verify_run
from trialscan.errors import ManifestError, UsageError
from trialscan.imaging import Units, Volume, affine_from, write_volume
from trialscan.pipeline.rebuild import rebuild_reports
from trialscan.pipeline.run import RunRequest, preview_trial, run_trial

CHANGING = {"timeline.jsonl", "SHA256SUMS"}
ARMS = ("control", "treated")


def _request(manifest: Path, out: Path, **more) -> RunRequest:
    return RunRequest(manifest, manifest.parent / "protocol.yaml", out, **more)


def _content(out: Path) -> dict[str, bytes]:
    """Every file that must repeat byte for byte."""
    files = (path for path in out.rglob("*") if path.is_file() and ".store" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files if path.name not in CHANGING}


def _assert_same(first: Path, second: Path) -> None:
    one, two = _content(first), _content(second)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def _scans(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "tables" / "scans.csv").set_index(["patient_id", "visit"])


def test_every_file_of_the_design_is_there(finished: Path):
    expected = [
        "run.json",
        "protocol.lock.yaml",
        "ledger.jsonl",
        "timeline.jsonl",
        "SHA256SUMS",
        *(f"tables/{name}.{kind}" for name in ("scans", "lesions", "analysis") for kind in ("csv", "parquet")),
        "statistics/results.csv",
        "statistics/models.json",
        "reports/trial.pdf",
        "reports/index.html",
        "reports/patients/P01.pdf",
        *(f"patients/P01/W2/{name}" for name in ("lesions.nii.gz", "organ.nii.gz", "measures.json", "quality.json")),
    ]
    assert [name for name in expected if not (finished / name).is_file()] == []
    assert list((finished / "patients/P01/W2").glob("to_baseline.*"))
    assert list((finished / "statistics/figures").glob("*.svg"))


def test_it_verifies(finished: Path):
    assert verify_run(finished) == ()


def test_the_burden_is_that_of_the_readers_mask(trial: Path, finished: Path):
    import SimpleITK as sitk  # noqa: N813, PLC0415 - a second reader, so that the check is independent

    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(trial.parent / "P01/BL_lesions.nii.gz")))
    assert _scans(finished).loc[("P01", "BL"), "burden_ml"] == pytest.approx((mask > 0).sum() * 0.064, rel=1e-9)


def test_more_workers_give_the_same_bytes(trial: Path, finished: Path, tmp_path: Path):
    run_trial(_request(trial, tmp_path, arms=trial.parent / "arms.csv", jobs=2))
    _assert_same(finished, tmp_path)


def test_a_rerun_changes_nothing_at_all(trial: Path, finished: Path, tmp_path: Path):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    before = {**_content(out), **{name: (out / name).read_bytes() for name in CHANGING}}
    run_trial(_request(trial, out, arms=trial.parent / "arms.csv"))
    assert {**_content(out), **{name: (out / name).read_bytes() for name in CHANGING}} == before


def test_a_killed_run_is_resumed_to_the_same_bytes(trial: Path, finished: Path, tmp_path: Path):
    arguments = ["run", trial, "--protocol", trial.parent / "protocol.yaml", "--arms", trial.parent / "arms.csv"]
    command = [sys.executable, "-m", "trialscan", *map(str, arguments), "--out", str(tmp_path), "--jobs", "2"]
    process = subprocess.Popen(command, start_new_session=True)
    results = tmp_path / ".store" / "results"
    limit = time.monotonic() + 120
    while time.monotonic() < limit and len(list(results.glob("*.json")) if results.exists() else []) < 8:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "SHA256SUMS").exists()
    run_trial(_request(trial, tmp_path, arms=trial.parent / "arms.csv"))
    _assert_same(finished, tmp_path)
    assert verify_run(tmp_path) == ()


def test_shards_and_single_patients_add_up_to_the_whole(trial: Path, finished: Path, tmp_path: Path):
    arms = trial.parent / "arms.csv"
    assert run_trial(_request(trial, tmp_path, arms=arms, shard=(1, 2))).status == "partial"
    assert run_trial(_request(trial, tmp_path, arms=arms, patient="P02")).status == "partial"
    left = preview_trial(_request(trial, tmp_path, arms=arms))
    assert left.stored["track"] == 4
    run_trial(_request(trial, tmp_path, arms=arms))
    _assert_same(finished, tmp_path)


def test_a_patient_who_is_not_there_is_a_usage_error(trial: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="P99"):
        run_trial(_request(trial, tmp_path, patient="P99"))


def test_unblinding_redraws_no_patient(trial: Path, finished: Path, tmp_path: Path):
    blind = run_trial(_request(trial, tmp_path, jobs=2))
    assert blind.status == "complete"
    assert blind.absent
    before = {path.name: path.read_bytes() for path in (tmp_path / "reports" / "patients").glob("*.pdf")}
    opened = preview_trial(_request(trial, tmp_path, arms=trial.parent / "arms.csv"))
    assert opened.planned["report"] - opened.stored["report"] == 1
    run_trial(_request(trial, tmp_path, arms=trial.parent / "arms.csv"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "reports" / "patients").glob("*.pdf")} == before
    assert (tmp_path / "statistics/results.csv").read_bytes() == (finished / "statistics/results.csv").read_bytes()


def test_no_file_of_a_patient_names_an_arm(finished: Path):
    folders = (finished / "patients", finished / "reports" / "patients")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files += [finished / "tables" / "scans.csv", finished / "tables" / "lesions.csv"]
    assert [path.name for path in files for arm in ARMS if arm.encode() in path.read_bytes()] == []


def test_a_missing_visit_is_a_row(finished: Path):
    assert _scans(finished).loc[("P06", "W4"), "status"] == "missing"


def test_nothing_of_this_machine_stands_in_the_record(trial: Path, finished: Path):
    traces = (str(trial.parent), str(finished), os.uname().nodename)
    names = [path for path in finished.rglob("*") if path.suffix in {".json", ".csv", ".jsonl", ".yaml", ".html"}]
    names = [path for path in names if path.name != "timeline.jsonl" and ".store" not in path.parts]
    assert [path.name for path in names for trace in traces if trace in path.read_text()] == []


def test_a_lost_report_is_drawn_again_as_it_was(finished: Path, tmp_path: Path):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    (out / "reports" / "patients" / "P01.pdf").unlink()
    (out / "reports" / "trial.pdf").write_bytes(b"damaged")
    rebuild_reports(out)
    _assert_same(finished, out)
    assert verify_run(out) == ()


def test_another_protocol_recomputes_what_it_touches_and_removes_nothing_else(
    trial: Path, finished: Path, tmp_path: Path
):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    changed = tmp_path / "changed.yaml"
    text = (
        (trial.parent / "protocol.yaml")
        .read_text()
        .replace("spacing_mm: 8", "spacing_mm: 8, limits: {min_organ_dice: 0.5}")
    )
    changed.write_text(text)
    request = RunRequest(trial, changed, out, arms=trial.parent / "arms.csv")
    plan = preview_trial(request)
    assert plan.stored["segment"] == plan.planned["segment"]
    assert plan.stored.get("align", 0) == 0
    run_trial(request)
    assert verify_run(out) == ()
    assert len({json.loads(line)["facts"]["protocol_sha256"] for line in _runs(out)}) == 2


def test_named_analyses_are_made_from_the_runs_own_tables(trial: Path, finished: Path, tmp_path: Path):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    named = tmp_path / "named.yaml"
    named.write_text(
        (trial.parent / "protocol.yaml").read_text()
        + "analysis:\n"
        + "  responders: [{name: fall, measure: burden_ml, visit: W2, at_most: -10}]\n"
        + "  counts: [{name: new}]\n"
        + "  events: [{name: growth, measure: consolidation_ml, at_least_percent: 5}]\n"
        + "  multiplicity: {method: hochberg}\n"
    )
    run_trial(RunRequest(trial, named, out, arms=trial.parent / "arms.csv"))
    assert verify_run(out) == ()
    analysis = pd.read_csv(out / "tables" / "analysis.csv")
    assert set(analysis["PARAMCD"]) == {"BURDENML", "BURDENPC", "NEWLES", "CONSOLML"}
    scans, history = _scans(out), json.loads((out / "patients" / "P01" / "history.json").read_text())
    new = {row["visit"]: row["new_count"] for row in history["trajectory"] if row["course"] == "burden"}
    assert new["BL"] is None
    assert scans.loc["P01", "new_lesion_count"].fillna(-1).to_dict() == {**new, "BL": -1}
    document = json.loads((out / "statistics" / "models.json").read_text())
    made = [model["analysis_id"] for model in document["models"]]
    assert {"responders.fall", "multiplicity"} <= set(made)
    assert "counts.new" in {*made, *document["absent"]}
    assert "events.growth" in {*made, *document["absent"]}
    assert (out / "reports" / "trial.pdf").exists()


def _runs(out: Path) -> list[str]:
    return [line for line in (out / "ledger.jsonl").read_text().splitlines() if json.loads(line)["kind"] == "run"]


def test_a_patient_taken_off_the_manifest_leaves_no_files(new_trial: Callable[[int], Path], tmp_path: Path):
    manifest, out = new_trial(3), tmp_path / "out"
    run_trial(_request(manifest, out, reports=False, jobs=2))
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if not line.startswith("P02")))
    run_trial(_request(manifest, out, reports=False))
    assert not (out / "patients" / "P02").exists()
    assert verify_run(out) == ()


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _other_shape(path: Path) -> None:
    write_volume(path, Volume(np.zeros((9, 9, 9), np.int16), affine_from((4.0, 4.0, 4.0)), Units.HU))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_truncate, "W2.nii.gz"),
        (lambda path: path.write_bytes(b"not an image"), "W2.nii.gz"),
        (_other_shape, "(9, 9, 9)"),
        (lambda path: path.write_bytes(b""), "W2.nii.gz"),
    ],
    ids=["truncated", "garbage", "another shape than its masks", "empty"],
)
def test_a_bad_scan_costs_its_visit_only(new_trial: Callable[[int], Path], tmp_path: Path, damage, words: str):
    manifest, out = new_trial(3), tmp_path / "out"
    damage(manifest.parent / "P02" / "W2.nii.gz")
    summary = run_trial(_request(manifest, out, arms=manifest.parent / "arms.csv", jobs=2))
    assert (summary.status, summary.exit_code) == ("complete_with_failures", 4)
    scans = _scans(out)
    assert scans.loc[("P02", "W2"), "status"] == "failed"
    assert words in scans.loc[("P02", "W2"), "message"]
    assert (scans.drop(index=[("P02", "W2"), ("P03", "W4")])["status"] == "ok").all()
    assert (out / "reports" / "patients" / "P02.pdf").is_file()
    assert verify_run(out) == ()


def test_a_lost_baseline_leaves_burdens_but_no_links(new_trial: Callable[[int], Path], tmp_path: Path):
    manifest, out = new_trial(2), tmp_path / "out"
    (manifest.parent / "P01" / "BL.nii.gz").write_bytes(b"not an image")
    assert run_trial(_request(manifest, out, jobs=2)).exit_code == 4
    scans = _scans(out)
    assert scans.loc[("P01", "W2"), "burden_ml"] > 0
    lesions = pd.read_csv(out / "tables" / "lesions.csv")
    assert set(lesions.loc[lesions["patient_id"] == "P01", "change"].dropna()) <= {"not_assessed"}


def test_an_invalid_manifest_computes_nothing(new_trial: Callable[[int], Path], tmp_path: Path):
    manifest, out = new_trial(2), tmp_path / "out"
    manifest.write_text(manifest.read_text() + "P01,BL,0,P01/W2.nii.gz,,\n")
    with pytest.raises(ManifestError, match=r"manifest\.csv:"):
        run_trial(_request(manifest, out))
    assert not out.exists()


def test_one_arm_says_why_there_is_no_comparison(new_trial: Callable[[int], Path], tmp_path: Path):
    manifest, out = new_trial(2), tmp_path / "out"
    arms = manifest.parent / "arms.csv"
    arms.write_text("patient_id,arm\nP01,control\nP02,control\n")
    summary = run_trial(_request(manifest, out, arms=arms, jobs=2))
    assert summary.status == "complete"
    assert "primary.random_slope" in summary.absent


def test_pictures_of_three_rigid_visits_are_each_resampled_once_to_one_slice(finished: Path):
    facts = [
        json.loads((finished / "patients" / "P01" / visit / "panel.json").read_text()) for visit in ("BL", "W2", "W4")
    ]
    assert [fact["resampled"] for fact in facts] == [True, True, True]
    assert [fact["slice"] for fact in facts] == ["baseline"] * 3
    assert len({tuple(fact["slice_center_mm"]) for fact in facts}) == 1
