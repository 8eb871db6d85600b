"""The store of data sets: snapshots by name and digest, and their files by content.

objects/ab/<sha256>               bytes; objects/ab/<sha256>.json tells where they lie instead
snapshots/<name>/<digest>.json    what was recorded, canonical; its sha256 is its name
records/<name>/<digest>.json      when it was taken, from where, by whom and why; never part of the digest
latest/<name>                     the digest that the name stands for
views/<digest>/…                  the snapshot's files under their own names, linked when first asked for
cache/ab/<sha256>                 what was fetched from a URL; may be deleted
"""

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from trialscan.errors import Fault, InputError
from trialscan.training.datasets.keeping import Kept, hardlink, write_whole
from trialscan.training.datasets.objects import ObjectStore
from trialscan.training.datasets.snapshot import Snapshot, SnapshotFile

VARIABLE = "TRIALSCAN_DATASETS"
FOLDER = "datasets"


@dataclass(frozen=True)
class Record:
    """What is told beside a snapshot: when it was taken (ISO, UTC), by whom and why, where its files came from."""

    taken_at: str
    origins: Mapping[str, str]
    reader: str | None = None
    reason: str | None = None


class DatasetStore:
    """A folder that holds snapshots.

    Parameters
    ----------
    root : the folder; without it that of the environment variable TRIALSCAN_DATASETS, else `datasets` here.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(root if root is not None else os.environ.get(VARIABLE) or FOLDER)
        self.objects = ObjectStore(self.root)

    def add(
        self,
        snapshot: Snapshot,
        locations: Mapping[str, Path | str],
        *,
        reader: str | None = None,
        reason: str | None = None,
        made_of: Mapping[str, str] | None = None,
    ) -> dict[Kept, int]:
        """Record a snapshot whose files lie at `locations` (paths or URLs, by path in the snapshot).

        Files that the store holds already need no location. `made_of` tells what a file was made of that lies at its
        location for this moment only.
        Tells how many files are held in which way. Masks become bytes of the store's own, for they are small and are
        what is edited; images are linked where no reflink can be made. A snapshot that is there already keeps its
        record. The name stands for this snapshot from now on.

        Raises
        ------
        InputError
            A file has no location and is not held, or is not there with its size: each is named, nothing recorded.
        """
        masks = {file.path for case in snapshot.cases for mask in case.masks for file in snapshot.files_of(mask.path)}
        kept: Counter[Kept] = Counter()
        faults: list[Fault] = []
        for file in snapshot.files:
            if file.path not in locations:
                if self.objects.holds(file):
                    kept[Kept.PRESENT] += 1
                else:
                    faults.append(Fault(file.path, "no location given for it"))
                continue
            try:
                kept[self.objects.take(file, locations[file.path], own_bytes=file.path in masks)] += 1
            except InputError as error:
                faults += error.faults
        if faults:
            raise InputError(faults)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        origins = {path: str(place) for path, place in locations.items()} | dict(made_of or {})
        self._record(snapshot, Record(now, origins, reader, reason))
        return dict(kept)

    def find(self, name_or_digest: str) -> Snapshot:
        """The latest snapshot of a name, or the one whose digest begins so; InputError where there is not just one."""
        latest = self.root / "latest" / name_or_digest
        if latest.is_file():
            return self._read(self._file("snapshots", name_or_digest, latest.read_text(encoding="utf-8").strip()))
        found = [file for file in self._files() if file.stem.startswith(name_or_digest)]
        if len(found) == 1:
            return self._read(found[0])
        where = f"data set {name_or_digest}"
        if found:
            raise InputError([Fault(where, f"{len(found)} snapshots have a digest that begins so; give more of it")])
        names = ", ".join(sorted(file.name for file in (self.root / "latest").glob("*"))) or "none"
        raise InputError([Fault(where, f"not in the store {self.root}; it holds: {names}")])

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Every snapshot, by name and then digest."""
        return tuple(self._read(file) for file in self._files())

    def latest(self, name: str) -> Snapshot | None:
        """The snapshot that a name stands for; None where the store does not know the name."""
        return self.find(name) if (self.root / "latest" / name).is_file() else None

    def record(self, snapshot: Snapshot) -> Record:
        """What was noted when the snapshot was taken."""
        file = self._file("records", snapshot.name, snapshot.digest)
        return Record(**json.loads(file.read_text(encoding="utf-8")))

    def path_of(self, snapshot: Snapshot, path: str) -> Path:
        """A readable path of a file, with its suffix, or of a folder of files (a DICOM series). Not to be written to.

        Raises
        ------
        InputError
            The snapshot has no such file or folder, the store lost it, or a URL no longer gives it.
        """
        files = snapshot.files_of(path)
        if not files:
            raise InputError([Fault(path, f"is not a file or folder of the snapshot {snapshot.name}")])
        view = self.root / "views" / snapshot.digest
        for file in files:
            self._show(file, view / file.path)
        return view / path

    def check(self, snapshot: Snapshot) -> None:
        """Read every file again; InputError names each that is missing or no longer has its digest."""
        alike: dict[str, list[SnapshotFile]] = {}
        for file in snapshot.files:
            alike.setdefault(file.sha256, []).append(file)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(self.objects.fault, (files[0] for files in alike.values()))
            faults = [
                Fault(file.path, fault.message)
                for files, fault in zip(alike.values(), found, strict=True)
                if fault is not None
                for file in files
            ]
        if faults:
            raise InputError(sorted(faults))

    def _show(self, file: SnapshotFile, link: Path) -> None:
        """Link a file under its own name; two processes may do so at once."""
        if link.exists():
            return
        place = self.objects.place(file)
        if not place.is_file():
            raise InputError([Fault(file.path, f"missing: there is no {place}; put it back")])
        link.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.objects.partial / uuid.uuid4().hex
        if not (place.is_relative_to(self.root) and hardlink(place, unfinished)):
            unfinished.symlink_to(place.absolute())
        unfinished.replace(link)

    def _record(self, snapshot: Snapshot, record: Record) -> None:
        for folder, text in (("records", _json(asdict(record))), ("snapshots", snapshot.to_json())):
            file = self._file(folder, snapshot.name, snapshot.digest)
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                write_whole(text, file, self.objects.partial)
        latest = self.root / "latest" / snapshot.name
        latest.parent.mkdir(exist_ok=True)
        write_whole(snapshot.digest + "\n", latest, self.objects.partial)

    def _read(self, file: Path) -> Snapshot:
        snapshot = Snapshot.from_json(file.read_text(encoding="utf-8"), str(file))
        if snapshot.digest != file.stem:
            message = f"its content has the digest {snapshot.digest}: it was altered, or is cut short"
            raise InputError([Fault(str(file), message)])
        return snapshot

    def _files(self) -> Iterator[Path]:
        yield from sorted((self.root / "snapshots").glob("*/*.json"))

    def _file(self, folder: str, name: str, digest: str) -> Path:
        return self.root / folder / name / f"{digest}.json"


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
