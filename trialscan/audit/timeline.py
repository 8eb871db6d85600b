"""When and where each entry of the ledger ran: kept apart, so that the ledger itself repeats byte for byte."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trialscan.audit.digests import canonical_json


@dataclass(frozen=True)
class TimelineEntry:
    """One run of one ledger entry. Times are ISO 8601 in UTC; `stages` are seconds of its parts, where it told them."""

    entry: str
    started: str
    seconds: float
    host: str
    device: str
    stages: Mapping[str, float] = field(default_factory=dict)


def append_timeline(path: Path, entry: TimelineEntry) -> None:
    """Add one line."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(canonical_json(asdict(entry)) + "\n")


def read_timeline(path: Path) -> list[TimelineEntry]:
    """Every line; raises ValueError or TypeError when one is not a timeline entry."""
    return [TimelineEntry(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
