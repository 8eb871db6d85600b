"""A writable copy of a snapshot, whose editing never reaches the bytes that the store holds.

Where the file system makes reflinks a clone is immediate and takes no room. Elsewhere every file is copied. On request
images are then hard links to the store's bytes instead, made read-only: a program that writes into one is refused, one
that replaces it makes a file of its own. Masks, which are what readers edit, are always the clone's own.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trialscan.errors import UsageError
from trialscan.training.datasets.inspection import in_threads
from trialscan.training.datasets.keeping import Kept, Reflinks, hardlink
from trialscan.training.datasets.snapshot import Snapshot, SnapshotFile
from trialscan.training.datasets.store import DatasetStore

_READ_ONLY = 0o444


@dataclass(frozen=True)
class Clone:
    """A clone: how many files came in which way, how many bytes were copied, in how many seconds."""

    folder: Path
    ways: Mapping[Kept, int]
    bytes_copied: int
    seconds: float


def clone_snapshot(store: DatasetStore, snapshot: Snapshot, out: Path, *, link_images: bool = False) -> Clone:
    """Lay the snapshot's files out below `out`, under their own names.

    Raises
    ------
    UsageError
        `out` holds something, or links are asked for by root, whom a read-only file does not keep from writing.
    InputError
        The store lost a file.
    """
    start = time.perf_counter()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(str(out), "it holds something already", "a new or empty folder")
    if link_images and os.geteuid() == 0:
        raise UsageError(
            "link images", "asked for by root, who may write into read-only files", "another user", "Leave it out."
        )
    masks = {file.path for case in snapshot.cases for mask in case.masks for file in snapshot.files_of(mask.path)}
    for folder in {(out / file.path).parent for file in snapshot.files}:
        folder.mkdir(parents=True, exist_ok=True)

    reflinks = Reflinks()

    def lay(file: SnapshotFile) -> Kept:
        return _lay(reflinks, store.objects.place(file), out / file.path, link=link_images and file.path not in masks)

    ways = list(in_threads(lay, snapshot.files))
    copied = sum(file.size for file, way in zip(snapshot.files, ways, strict=True) if way is Kept.COPY)
    return Clone(out, dict(Counter(ways)), copied, time.perf_counter() - start)


def _lay(reflinks: Reflinks, place: Path, target: Path, *, link: bool) -> Kept:
    if reflinks(place, target):
        return Kept.REFLINK
    if link and hardlink(place, target):
        target.chmod(_READ_ONLY)
        return Kept.HARDLINK
    shutil.copyfile(place, target)
    return Kept.COPY
