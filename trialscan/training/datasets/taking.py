"""Taking a snapshot: gather, read, hash, check, record. Nothing is recorded while there is a fault."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trialscan.audit import digest_file
from trialscan.errors import Fault, InputError
from trialscan.training.datasets.description import BACKGROUND, Description
from trialscan.training.datasets.draft import Draft, DraftCase, DraftMask
from trialscan.training.datasets.held_out import choose_held_out
from trialscan.training.datasets.inspection import Inspected, in_threads, inspect
from trialscan.training.datasets.keeping import Kept
from trialscan.training.datasets.snapshot import AnnotatedCase, CaseMask, Snapshot, SnapshotFile
from trialscan.training.datasets.sources import gather
from trialscan.training.datasets.sources.listing import Listing
from trialscan.training.datasets.staging import Staging
from trialscan.training.datasets.store import DatasetStore

_UNREAD = "0" * 64

Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Taken:
    """A snapshot just recorded, or found unchanged.

    `kept` counts files by how the store holds them; `unannotated` are images left out; `empty_masks` are cases whose
    masks hold nothing but background. `seconds` of the wall and `cpu_seconds` by step: gather, check, hash, store.
    """

    snapshot: Snapshot
    unchanged: bool
    kept: Mapping[Kept, int]
    unannotated: tuple[str, ...]
    empty_masks: tuple[str, ...]
    seconds: Mapping[str, float]
    cpu_seconds: Mapping[str, float]


def take_snapshot(description: Description, base: Path, store: DatasetStore, watch: Watch | None = None) -> Taken:
    """Record what the description says of the data below `base`, as the child of the name's latest snapshot if any.

    Every file is hashed and every image and mask opened, in threads. Where nothing but the parent would differ from
    the latest snapshot, that one is given back. `watch` is told how many of how many cases are checked.

    Raises
    ------
    InputError
        Every fault of the data, each with its file; nothing is recorded then.
    """
    clock = _Clock()
    draft = gather(description, base)
    clock.lap("gather")
    with Staging(store.objects, draft.locations) as staging:
        below = Listing(draft.locations).below
        inspected = _watched(draft, staging, below, watch)
        draft.faults += (fault for found in inspected for fault in found.faults)
        clock.lap("check")
        locations = _located(draft, staging, below)
        files = _hashed(locations, staging, draft)
        clock.lap("hash")
        before = store.latest(description.name)
        snapshot = _snapshot(description, draft, inspected, files, before)
        unchanged = before is not None and replace(snapshot, parent=before.parent) == before
        if before is not None:
            snapshot = before if unchanged else replace(snapshot, parent=before.digest)
        drawn = {mask.path: mask.drawing.path for case in draft.cases for mask in case.masks if mask.drawing}
        kept = store.add(snapshot, locations, made_of={path: f"drawn from {place}" for path, place in drawn.items()})
        clock.lap("store")
    empty = [case.case_id for case, found in zip(draft.cases, inspected, strict=True) if not any(found.values)]
    return Taken(snapshot, unchanged, kept, tuple(draft.unannotated), tuple(sorted(empty)), clock.laps, clock.cpu)


class _Clock:
    """Seconds between laps, of the wall and of the processor in all threads."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self._last = (time.perf_counter(), time.process_time())

    def lap(self, name: str) -> None:
        now = (time.perf_counter(), time.process_time())
        self.laps[name], self.cpu[name] = (after - before for before, after in zip(self._last, now, strict=True))
        self._last = now


def _watched(
    draft: Draft, staging: Staging, below: Callable[[str], tuple[str, ...]], watch: Watch | None
) -> tuple[Inspected, ...]:
    found: list[Inspected] = []
    for one in inspect(draft.cases, staging, below):
        found.append(one)
        if watch is not None:
            watch(len(found), len(draft.cases))
    return tuple(found)


def _located(draft: Draft, staging: Staging, below: Callable[[str], tuple[str, ...]]) -> dict[str, Path | str]:
    """Where each file lies that a case names, the drawings and the masks made from them among them."""
    locations: dict[str, Path | str] = {}
    for case in draft.cases:
        drawn = [mask for mask in case.masks if mask.drawing is not None]
        named = [*case.images, *(mask.path for mask in case.masks if mask.drawing is None)]
        named += [mask.drawing.path for mask in drawn if mask.drawing is not None]
        for path in named:
            locations |= {file: draft.locations[file] for file in below(path)}
        locations |= {mask.path: staging.new(mask.path) for mask in drawn}
    return locations


def _hashed(locations: Mapping[str, Path | str], staging: Staging, draft: Draft) -> tuple[SnapshotFile, ...]:
    def hashed(path: str) -> SnapshotFile | Fault:
        try:
            place = Path(locations[path]) if path not in draft.locations else staging.file(path)
            return SnapshotFile(path, digest_file(place), place.stat().st_size)
        except InputError as error:
            return error.faults[0]
        except OSError as error:
            return Fault(path, f"cannot be read: {error.strerror}")

    files = []
    for path, found in zip(locations, in_threads(hashed, locations), strict=True):
        files.append(found if isinstance(found, SnapshotFile) else SnapshotFile(path, _UNREAD, 0))
        if isinstance(found, Fault) and found not in draft.faults:
            draft.faults.append(found)
    return tuple(files)


def _snapshot(
    description: Description,
    draft: Draft,
    inspected: Sequence[Inspected],
    files: tuple[SnapshotFile, ...],
    before: Snapshot | None,
) -> Snapshot:
    """The snapshot without a parent; InputError with the draft's faults and those of the whole."""
    faults = list(draft.faults)
    snapshot: Snapshot | None = None
    held_out: tuple[str, ...] = ()
    try:
        held_out = choose_held_out(draft.cases, description.held_out, before)
    except InputError as error:
        faults += error.faults
    try:
        snapshot = Snapshot(
            description.name,
            description.licence,
            description.source,
            {0: BACKGROUND} | dict(description.labels),
            files,
            _cases(draft.cases, inspected),
            held_out,
        )
    except InputError as error:
        faults += error.faults
    if faults or snapshot is None:
        raise InputError(sorted(set(faults)))
    return snapshot


def _cases(cases: Sequence[DraftCase], inspected: Sequence[Inspected]) -> tuple[AnnotatedCase, ...]:
    """The cases, `any_value` written out as the values found in all masks of that meaning."""
    found: dict[int, set[int]] = {}
    for case, seen in zip(cases, inspected, strict=True):
        for mask, values in zip(case.masks, seen.values, strict=True):
            if mask.any_value is not None:
                found.setdefault(mask.any_value, set()).update(values)
    return tuple(
        AnnotatedCase(
            case.case_id,
            case.patient_id,
            case.group,
            case.images,
            tuple(CaseMask(mask.path, _meaning(mask, found)) for mask in case.masks),
            dict(sorted(case.attributes.items())),
        )
        for case in cases
    )


def _meaning(mask: DraftMask, found: Mapping[int, set[int]]) -> Mapping[int, int]:
    if mask.any_value is None:
        return dict(sorted(mask.values.items()))
    return dict.fromkeys(sorted(found[mask.any_value]), mask.any_value)
