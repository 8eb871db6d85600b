"""The ledger repeats byte for byte, continues after a kill, and shows every tampering."""

import json
from pathlib import Path

import pytest

from trialscan.audit import Ledger, LedgerEntry, read_ledger
from trialscan.errors import VerificationError


def _entries(message: str = "") -> list[LedgerEntry]:
    facts = {"message": message} if message else {}
    return [
        LedgerEntry("run", "demo", "ok"),
        LedgerEntry("segment", "p01/BL", "ok", {"image": "a" * 64}, {"lesions.nii.gz": "b" * 64}),
        LedgerEntry("track", "p01", "ok", facts=facts),
    ]


def _write(path: Path, entries: list[LedgerEntry]) -> list[int]:
    ledger = Ledger(path)
    return [len(ledger.append(entry)) for entry in entries]


def test_a_rerun_appends_nothing(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    assert _write(path, _entries()) == [1, 1, 1]
    before = path.read_bytes()
    assert _write(path, _entries()) == [0, 0, 0]
    assert path.read_bytes() == before


def test_a_run_cut_short_is_continued_to_the_same_bytes(tmp_path: Path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    _write(whole, _entries())
    _write(cut, _entries()[:2])
    _write(cut, _entries())
    assert cut.read_bytes() == whole.read_bytes()


def test_a_torn_last_line_is_written_anew(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    _write(path, _entries())
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    _write(path, _entries())
    assert path.read_bytes() == whole


def test_a_different_result_starts_a_new_run_behind_the_old_one(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    _write(path, _entries())
    before = path.read_bytes()
    assert _write(path, _entries("changed")) == [0, 0, 3]
    assert path.read_bytes().startswith(before)
    assert [entry["kind"] for entry in read_ledger(path)] == ["run", "segment", "track"] * 2


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda lines: [lines[0], lines[1].replace("p01", "p02"), lines[2]], "does not match its hash"),
        (lambda lines: [lines[0], lines[2]], "broken chain"),
        (lambda lines: [lines[1], lines[0], lines[2]], "broken chain"),
        (lambda lines: [*lines, lines[2]], "broken chain"),
        (lambda lines: [lines[0], "not json", lines[2]], "not JSON"),
        (lambda lines: [lines[0], json.dumps({"index": 1}), lines[2]], "without a hash"),
    ],
)
def test_tampering_is_named_with_its_line(tmp_path: Path, damage, problem):
    path = tmp_path / "ledger.jsonl"
    _write(path, _entries())
    lines = path.read_text().splitlines()
    path.write_text("\n".join(damage(lines)) + "\n")
    with pytest.raises(VerificationError, match=problem) as error:
        read_ledger(path)
    assert error.value.where.startswith("ledger.jsonl:")


def test_an_entry_rehashed_alone_still_breaks_the_chain(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    _write(path, _entries())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    forged = LedgerEntry("segment", "p01/BL", "ok", {"image": "c" * 64}).chained(1, lines[0]["hash"])
    path.write_text("".join(json.dumps(line) + "\n" for line in (lines[0], forged, lines[2])))
    with pytest.raises(VerificationError, match="broken chain"):
        read_ledger(path)
