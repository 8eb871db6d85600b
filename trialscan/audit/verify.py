"""Does a run folder still hold what its record says? Every deviation is named; nothing is mended."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialscan.audit.digests import digest_file
from trialscan.audit.ledger import read_ledger
from trialscan.audit.sums import read_sums, recorded_files
from trialscan.audit.timeline import read_timeline
from trialscan.errors import VerificationError


@dataclass(frozen=True, order=True)
class Finding:
    """One deviation: the file concerned, and what is wrong with it."""

    path: str
    problem: str

    def __str__(self) -> str:
        """The finding as one line."""
        return f"{self.path}: {self.problem}"


def verify_run(run: Path) -> tuple[Finding, ...]:
    """Check every file's digest, the ledger's chain and what binds them; an empty result means all is as recorded.

    Raises
    ------
    VerificationError
        The folder holds no finished run.
    """
    sums = read_sums(run)
    return tuple(sorted({*_check_files(run, sums), *_check_ledger(run)}))


def _check_files(run: Path, sums: dict[str, str]) -> list[Finding]:
    present = set(recorded_files(run))
    findings = [Finding(name, "missing") for name in sums.keys() - present]
    findings += [Finding(name, "added: not part of the record") for name in present - sums.keys()]
    for name in sorted(present & sums.keys()):
        digest = digest_file(run / name)
        if digest != sums[name]:
            findings.append(Finding(name, f"changed: sha256 {digest[:12]}…, recorded {sums[name][:12]}…"))
    return findings


def _check_ledger(run: Path) -> list[Finding]:
    missing = [name for name in ("ledger.jsonl", "timeline.jsonl", "run.json") if not (run / name).is_file()]
    if missing:
        return [Finding(name, "missing") for name in missing]
    try:
        entries = read_ledger(run / "ledger.jsonl")
    except VerificationError as error:
        return [Finding(error.where, f"{error.found}, expected {error.expected}")]
    return [*_check_outputs(run, entries), *_check_head(run, entries), *_check_timeline(run, entries)]


def _check_outputs(run: Path, entries: list[dict[str, Any]]) -> list[Finding]:
    """The files of the last run must be those that its entries named last."""
    starts = [entry["index"] for entry in entries if entry["kind"] == "run"]
    if not starts:
        return [Finding("ledger.jsonl", "holds no run")]
    latest = {name: (digest, entry) for entry in entries[starts[-1] :] for name, digest in entry["outputs"].items()}
    return [
        Finding(name, f"differs from ledger entry {entry['index']} ({entry['kind']})")
        for name, (digest, entry) in latest.items()
        if (run / name).is_file() and digest_file(run / name) != digest
    ]


def _check_head(run: Path, entries: list[dict[str, Any]]) -> list[Finding]:
    """run.json names the ledger's length and last hash, so that a cut-off tail shows."""
    try:
        recorded = json.loads((run / "run.json").read_text(encoding="utf-8"))["ledger"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return [Finding("run.json", "does not name the ledger's head")]
    found = {"entries": len(entries), "head": entries[-1]["hash"]}
    if recorded != found:
        return [
            Finding("ledger.jsonl", f"ends at entry {found['entries']}, run.json records {recorded.get('entries')}")
        ]
    return []


def _check_timeline(run: Path, entries: list[dict[str, Any]]) -> list[Finding]:
    known = {entry["hash"] for entry in entries}
    try:
        timeline = read_timeline(run / "timeline.jsonl")
    except (json.JSONDecodeError, TypeError):
        return [Finding("timeline.jsonl", "a line that is not a timeline entry")]
    strangers = [entry.entry for entry in timeline if entry.entry not in known]
    return [
        Finding("timeline.jsonl", f"names {stranger[:12]}…, which the ledger does not hold") for stranger in strangers
    ]
