"""The ledger: an append-only record of every computation, each entry bound to the one before by its hash.

An entry holds only what determines a result (inputs, parameters, outputs by digest), never when or where it ran: that
stands in the timeline. The same trial therefore gives the same ledger, byte for byte.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trialscan.audit.digests import canonical_json, digest_json
from trialscan.errors import VerificationError

GENESIS = "0" * 64


@dataclass(frozen=True)
class LedgerEntry:
    """One line of the ledger.

    `kind` says what was done and `subject` to what (`patient/visit`, a patient, or the trial); `inputs` and `outputs`
    map names to sha256 digests; `facts` holds what else determines or describes the result.
    """

    kind: str
    subject: str
    status: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def chained(self, index: int, previous: str) -> dict[str, Any]:
        """The entry as written: its position, the hash before it, and its own hash over all of that."""
        body = {"index": index, "previous": previous, **asdict(self)}
        return {**body, "hash": digest_json(body)}


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """Every entry of a ledger, its chain checked.

    Raises
    ------
    VerificationError
        A line is not JSON, an index is out of order, a link is broken or an entry does not match its hash.
    """
    entries: list[dict[str, Any]] = []
    previous = GENESIS
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{path.name}:{number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise VerificationError(where, "a line that is not JSON", "one entry a line") from error
        if not isinstance(entry, dict) or "hash" not in entry:
            raise VerificationError(where, "an entry without a hash", "an object with 'hash'")
        body = {key: value for key, value in entry.items() if key != "hash"}
        if digest_json(body) != entry["hash"]:
            raise VerificationError(where, "an entry that does not match its hash", str(entry["hash"]))
        if body.get("previous") != previous or body.get("index") != number - 1:
            raise VerificationError(where, "a broken chain", f"index {number - 1} after {previous[:12]}…")
        previous = entry["hash"]
        entries.append(entry)
    return entries


class Ledger:
    """Appends entries to a ledger file.

    A rerun that does the same again finds its entries there and appends nothing: `append` first walks along what the
    last run wrote, and starts a new run's entries behind the old ones only where they differ.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _drop_torn_line(path)
        self._entries = read_ledger(path) if path.exists() else []
        starts = [entry["index"] for entry in self._entries if entry["kind"] == "run"]
        self._replay = self._entries[starts[-1] :] if starts else []
        self._said: list[LedgerEntry] = []

    @property
    def head(self) -> str:
        """Hash of the last entry."""
        return str(self._entries[-1]["hash"]) if self._entries else GENESIS

    def __len__(self) -> int:
        """How many entries the file holds."""
        return len(self._entries)

    def append(self, entry: LedgerEntry) -> tuple[tuple[LedgerEntry, str], ...]:
        """Record an entry; returns what was newly written, each with its hash (nothing where the file held it)."""
        self._said.append(entry)
        position = len(self._said) - 1
        if position < len(self._replay):
            if _same(self._replay[position], entry):
                return ()
            self._replay = []
            return self._write(self._said)
        return self._write([entry])

    def add(self, entry: LedgerEntry) -> str:
        """Record an act that belongs to no run's plan, behind everything that is there; returns its hash."""
        self._replay = []
        return self._write([entry])[0][1]

    def _write(self, entries: Sequence[LedgerEntry]) -> tuple[tuple[LedgerEntry, str], ...]:
        written = []
        with self._path.open("a", encoding="utf-8") as stream:
            for entry in entries:
                line = entry.chained(len(self._entries), self.head)
                stream.write(canonical_json(line) + "\n")
                self._entries.append(line)
                written.append((entry, str(line["hash"])))
        return tuple(written)


def _same(line: Mapping[str, Any], entry: LedgerEntry) -> bool:
    return digest_json({key: line[key] for key in asdict(entry)}) == digest_json(asdict(entry))


def _drop_torn_line(path: Path) -> None:
    """Remove a last line that a killed process left without its end."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])
