"""A run folder verifies when untouched, with and without trialscan, and names every file that is not."""

import subprocess
from pathlib import Path

import pytest

from trialscan.audit import (
    Ledger,
    LedgerEntry,
    TimelineEntry,
    append_timeline,
    canonical_json,
    digest_file,
    verify_run,
    write_sums,
)
from trialscan.errors import VerificationError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A small finished run."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "scans.csv").write_text("patient_id\np01\n")
    (tmp_path / ".store").mkdir()
    (tmp_path / ".store" / "scratch").write_text("not part of the record")
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(LedgerEntry("run", "demo", "ok"))
    outputs = {"tables/scans.csv": digest_file(tmp_path / "tables" / "scans.csv")}
    for _, digest in ledger.append(LedgerEntry("tabulate", "trial", "ok", outputs=outputs)):
        append_timeline(tmp_path / "timeline.jsonl", TimelineEntry(digest, "2026-01-01T00:00:00Z", 1.0, "h", "cpu"))
    (tmp_path / "run.json").write_text(canonical_json({"ledger": {"entries": len(ledger), "head": ledger.head}}))
    write_sums(tmp_path)
    return tmp_path


def test_an_untouched_run_verifies(run: Path):
    assert verify_run(run) == ()


def test_coreutils_verify_it_without_trialscan(run: Path):
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=run, check=True)


@pytest.mark.parametrize(
    ("change", "path", "problem"),
    [
        (lambda run: (run / "tables/scans.csv").write_text("patient_id\np02\n"), "tables/scans.csv", "changed"),
        (lambda run: (run / "tables/scans.csv").unlink(), "tables/scans.csv", "missing"),
        (lambda run: (run / "tables/extra.csv").write_text(""), "tables/extra.csv", "added"),
        (lambda run: (run / "ledger.jsonl").unlink(), "ledger.jsonl", "missing"),
        (lambda run: (run / "run.json").write_text("{}"), "run.json", "head"),
    ],
)
def test_every_deviation_is_named(run: Path, change, path: str, problem: str):
    change(run)
    assert any(finding.path == path and problem in finding.problem for finding in verify_run(run))


def test_a_forged_list_does_not_hide_a_changed_table(run: Path):
    (run / "tables" / "scans.csv").write_text("patient_id\np02\n")
    write_sums(run)
    assert [finding.path for finding in verify_run(run)] == ["tables/scans.csv"]


def test_a_ledger_cut_off_at_its_end_is_seen(run: Path):
    ledger = run / "ledger.jsonl"
    ledger.write_text(ledger.read_text().splitlines(keepends=True)[0])
    write_sums(run)
    problems = {finding.path for finding in verify_run(run)}
    assert {"ledger.jsonl", "timeline.jsonl"} <= problems


def test_an_unfinished_run_is_an_error(tmp_path: Path):
    with pytest.raises(VerificationError, match="no SHA256SUMS"):
        verify_run(tmp_path)


def test_a_broken_list_names_its_line(run: Path):
    (run / "SHA256SUMS").write_text("nonsense\n")
    with pytest.raises(VerificationError, match="SHA256SUMS:1"):
        verify_run(run)
