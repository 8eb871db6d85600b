"""A snapshot's child: the same images with the masks that readers corrected."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.audit import digest_file
from trialscan.errors import Fault, InputError, ScanError
from trialscan.imaging import read_mask, read_volume
from trialscan.imaging.read import image_suffix
from trialscan.training.datasets.edited import EditedMask, find_edited
from trialscan.training.datasets.inspection import in_threads, values_of
from trialscan.training.datasets.snapshot import AnnotatedCase, CaseMask, Snapshot, SnapshotFile
from trialscan.training.datasets.store import DatasetStore


@dataclass(frozen=True)
class Revision:
    """What became of edited masks. `snapshot` is the child, or the old one where no mask differs.

    `changed` tells how many voxels of each mask have another label than before, by its path; `unchanged` are masks
    that hold what they held, whether or not the file was written again.
    """

    snapshot: Snapshot
    parent: Snapshot
    changed: Mapping[str, int]
    unchanged: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Read:
    """An edited mask that was read: the voxels that changed, and the mask in the new snapshot."""

    edited: EditedMask
    voxels: int
    mask: CaseMask
    file: SnapshotFile


def revise_snapshot(
    store: DatasetStore, parent: Snapshot, source: Path, *, reader: str | None = None, reason: str | None = None
) -> Revision:
    """Record the child of `parent` in which the masks found in `source` stand for theirs; see `find_edited`.

    Every mask is held against its image and its labels first. Who is held out stays as it was.

    Raises
    ------
    InputError
        Every fault of the masks, each with its file; nothing is recorded then.
    """
    start = time.perf_counter()
    edited = find_edited(parent, source)
    if not edited:
        raise InputError([Fault(str(source), "no edited mask in it; expected masks named by path or by case")])
    faults: list[Fault] = []
    changed: list[_Read] = []
    unchanged: list[str] = []
    for item, found in zip(edited, in_threads(lambda item: _read(store, parent, item), edited), strict=True):
        if found is None:
            unchanged.append(item.replaced.path)
        elif isinstance(found, _Read):
            changed.append(found)
        else:
            faults += found
    if faults:
        raise InputError(sorted(faults))
    child = _child(parent, changed) if changed else parent
    if changed:
        store.add(child, {read.file.path: read.edited.file for read in changed}, reader=reader, reason=reason)
    voxels = {read.file.path: read.voxels for read in changed}
    return Revision(child, parent, voxels, tuple(unchanged), time.perf_counter() - start)


def _child(parent: Snapshot, changed: list[_Read]) -> Snapshot:
    replaced = {(read.edited.case.case_id, read.edited.index): read for read in changed}

    def revised(case: AnnotatedCase) -> AnnotatedCase:
        masks = [
            replaced[case.case_id, index].mask if (case.case_id, index) in replaced else mask
            for index, mask in enumerate(case.masks)
        ]
        return replace(case, masks=tuple(masks))

    cases = tuple(revised(case) for case in parent.cases)
    gone = {read.edited.replaced.path for read in changed} - {mask.path for case in cases for mask in case.masks}
    new = {read.file.path: read.file for read in changed}
    files = [file for file in parent.files if file.path not in gone | new.keys()]
    return replace(parent, files=(*files, *new.values()), cases=cases, parent=parent.digest)


def _read(store: DatasetStore, parent: Snapshot, edited: EditedMask) -> _Read | list[Fault] | None:
    """What the edited mask changes; None where it changes nothing; its faults."""
    old, where = edited.replaced, str(edited.file)
    digest = digest_file(edited.file)
    if edited.names is None and [file.sha256 for file in parent.files_of(old.path)] == [digest]:
        return None
    try:
        image = read_volume(store.path_of(parent, edited.case.images[0]))
        new = read_mask(edited.file, image)
        before = read_mask(store.path_of(parent, old.path), image)
    except ScanError as error:
        return [Fault(where, str(error))]
    values = values_of(new)
    meaning = _meaning(parent, edited)
    unknown = sorted(values - meaning.keys())
    if unknown:
        return [Fault(where, f"holds {unknown}; expected 0, {sorted(meaning)} as the label map says")]
    voxels = int(np.count_nonzero(_labels(new.array, meaning) != _labels(before.array, old.values)))
    if voxels == 0:
        return None
    path = PurePosixPath(old.path)
    stem = path.name[: -len(image_suffix(Path(old.path)))]
    name = str(path.with_name(stem + image_suffix(edited.file)))
    return _Read(edited, voxels, CaseMask(name, meaning), SnapshotFile(name, digest, edited.file.stat().st_size))


def _meaning(parent: Snapshot, edited: EditedMask) -> Mapping[int, int]:
    """The replaced mask's map; for a run's mask its classes by name, then by the replaced map's value."""
    old = edited.replaced.values
    if edited.names is None:
        return old
    label_of = {name: label for label, name in parent.labels.items()}
    found = {value: label_of.get(name, old.get(value)) for value, name in edited.names.items()}
    return {value: label for value, label in found.items() if label is not None}


def _labels(values: NDArray[Any], meaning: Mapping[int, int]) -> NDArray[np.uint16]:
    table = np.zeros(65536, dtype=np.uint16)
    for value, label in meaning.items():
        table[value] = label
    labels: NDArray[np.uint16] = table[values]
    return labels
