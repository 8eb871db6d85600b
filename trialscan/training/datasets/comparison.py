"""What differs between two snapshots, and how those of a store follow each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trialscan.training.datasets.snapshot import Snapshot


@dataclass(frozen=True)
class Difference:
    """From one snapshot to another.

    `labels` and `facts` (name, licence, source) hold what it was and what it is, None where there is none. A case is
    changed when its files' bytes, its masks' meaning, its patient, group or attributes are.
    """

    added_files: tuple[str, ...]
    removed_files: tuple[str, ...]
    changed_files: tuple[str, ...]
    added_cases: tuple[str, ...]
    removed_cases: tuple[str, ...]
    changed_cases: tuple[str, ...]
    newly_held_out: tuple[str, ...]
    no_longer_held_out: tuple[str, ...]
    labels: Mapping[int, tuple[str | None, str | None]]
    facts: Mapping[str, tuple[str, str]]


def compare(before: Snapshot, after: Snapshot) -> Difference:
    """The difference between two snapshots, each list sorted."""
    files = _changes(
        {file.path: file.sha256 for file in before.files}, {file.path: file.sha256 for file in after.files}
    )
    cases = _changes(_cases(before), _cases(after))
    old, new = set(before.held_out), set(after.held_out)
    values = sorted(before.labels.keys() | after.labels.keys())
    labels = {value: (before.labels.get(value), after.labels.get(value)) for value in values}
    facts = {name: (getattr(before, name), getattr(after, name)) for name in ("name", "licence", "source")}
    return Difference(
        *files,
        *cases,
        tuple(sorted(new - old)),
        tuple(sorted(old - new)),
        {value: pair for value, pair in labels.items() if pair[0] != pair[1]},
        {name: pair for name, pair in facts.items() if pair[0] != pair[1]},
    )


def lineage(snapshots: Sequence[Snapshot]) -> Iterator[tuple[int, Snapshot]]:
    """Snapshots with their depth, each below the one that it follows; the first of each line by name."""
    known = {snapshot.digest for snapshot in snapshots}
    children: dict[str | None, list[Snapshot]] = {}
    for snapshot in sorted(snapshots, key=lambda snapshot: (snapshot.name, snapshot.digest)):
        children.setdefault(snapshot.parent if snapshot.parent in known else None, []).append(snapshot)
    waiting = [(0, snapshot) for snapshot in reversed(children.get(None, []))]
    while waiting:
        depth, snapshot = waiting.pop()
        yield depth, snapshot
        waiting += [(depth + 1, child) for child in reversed(children.get(snapshot.digest, []))]


def _changes(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    both = before.keys() & after.keys()
    return (
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(before.keys() - after.keys())),
        tuple(sorted(name for name in both if before[name] != after[name])),
    )


def _cases(snapshot: Snapshot) -> Mapping[str, object]:
    def content(path: str) -> tuple[str, ...]:
        return tuple(file.sha256 for file in snapshot.files_of(path))

    return {
        case.case_id: (
            case.patient_id,
            case.group,
            tuple(content(image) for image in case.images),
            tuple((content(mask.path), dict(mask.values)) for mask in case.masks),
            dict(case.attributes),
        )
        for case in snapshot.cases
    }
