"""Files by the digest of their bytes: where the store holds each of them, and whether it still does."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import fsspec

from trialscan.audit import digest_file
from trialscan.errors import Fault, InputError
from trialscan.training.datasets.keeping import Kept, Reflinks, keep, write_whole
from trialscan.training.datasets.snapshot import SnapshotFile

_BLOCK = 1 << 20


@dataclass(frozen=True)
class _Pointer:
    """Where bytes lie that the store holds no link to; `mtime_ns` is None for a URL."""

    location: str
    size: int
    mtime_ns: int | None


class ObjectStore:
    """The folder `objects` of a store: `ab/<sha256>` are bytes, `ab/<sha256>.json` tells where they lie instead.

    What a URL names is fetched into `cache` when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self._cache = root / "cache"
        self.partial = root / "partial"
        self._reflinks = Reflinks()

    def take(self, file: SnapshotFile, location: Path | str, *, own_bytes: bool) -> Kept:
        """Hold the file that lies at `location`, a path or a URL. Its bytes are not read again.

        Raises
        ------
        InputError
            There is no file of the recorded size at that place.
        """
        target = self._of(self._objects, file.sha256)
        self.partial.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_url(location):
            self._point(target, _Pointer(str(location), file.size, None))
            return Kept.POINTER
        source = Path(os.path.abspath(location))  # noqa: PTH100 - symbolic links stay as the user wrote them
        status = _status(source, file)
        if self._is_whole(target, status, file.sha256):
            return Kept.PRESENT
        kept = keep(source, target, self.partial, self._reflinks, own_bytes=own_bytes)
        if kept is Kept.POINTER:
            self._point(target, _Pointer(str(source), status.st_size, status.st_mtime_ns))
        return kept

    def holds(self, file: SnapshotFile) -> bool:
        """Whether the store has the file or knows where it lies; its bytes are not looked at."""
        target = self._of(self._objects, file.sha256)
        return target.exists() or _pointer_file(target).exists()

    def place(self, file: SnapshotFile) -> Path:
        """Where the file's bytes can be read now; fetches what a URL names, and checks that against the digest.

        Raises
        ------
        InputError
            The store does not hold the file, or what the URL gives is not it.
        """
        target = self._of(self._objects, file.sha256)
        if target.exists():
            return target
        pointer = _read_pointer(target)
        if pointer is None:
            raise InputError([Fault(file.path, f"missing: the store has no object {file.sha256}")])
        if not is_url(pointer.location):
            return Path(pointer.location)
        cached = self._of(self._cache, file.sha256)
        if not cached.exists():
            fetched, digest = self.fetch(pointer.location)
            if digest != file.sha256:
                fetched.unlink()
                raise InputError([Fault(file.path, f"changed: {pointer.location} now holds sha256 {digest}")])
        return cached

    def fetch(self, url: str) -> tuple[Path, str]:
        """Read a URL once into the cache; gives the file and its sha256. Raises InputError where it cannot be read."""
        self.partial.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self.partial, delete=False) as writer:
            partial = Path(writer.name)
            try:
                with fsspec.open(url, "rb") as reader:
                    while block := reader.read(_BLOCK):
                        digest.update(block)
                        writer.write(block)
            except OSError as error:
                partial.unlink()
                raise InputError([Fault(url, f"cannot be read: {error}")]) from error
        cached = self._of(self._cache, digest.hexdigest())
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(cached)
        return cached, digest.hexdigest()

    def fault(self, file: SnapshotFile) -> Fault | None:
        """What is wrong with the stored bytes of a file, which are read once more; None where they are as recorded."""
        try:
            place = self.place(file)
            digest = digest_file(place)
        except InputError as error:
            return error.faults[0]
        except FileNotFoundError:
            return Fault(file.path, f"missing: there is no {place}; put it back, or take the snapshot again")
        except OSError as error:
            return Fault(file.path, f"cannot be read at {place}: {error.strerror}")
        if digest == file.sha256:
            return None
        message = f"changed: {place} holds sha256 {digest}; expected {file.sha256}. Restore it, or take a new snapshot"
        return Fault(file.path, message)

    def _is_whole(self, target: Path, source: os.stat_result, sha256: str) -> bool:
        """Whether the object is there and, where it is another file than the source, still holds what it should."""
        return target.exists() and (os.path.samestat(target.stat(), source) or digest_file(target) == sha256)

    def _point(self, target: Path, pointer: _Pointer) -> None:
        write_whole(json.dumps(asdict(pointer), sort_keys=True), _pointer_file(target), self.partial)

    @staticmethod
    def _of(folder: Path, sha256: str) -> Path:
        return folder / sha256[:2] / sha256


def is_url(location: Path | str) -> bool:
    """Whether the location is one that fsspec opens (`s3://…`) and no path."""
    return isinstance(location, str) and "://" in location


def _status(source: Path, file: SnapshotFile) -> os.stat_result:
    try:
        status = source.stat()
    except OSError as error:
        raise InputError([Fault(file.path, f"missing: {source}: {error.strerror}")]) from error
    if status.st_size != file.size:
        raise InputError([Fault(file.path, f"changed: {source} has {status.st_size} bytes; expected {file.size}")])
    return status


def _pointer_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _read_pointer(target: Path) -> _Pointer | None:
    try:
        content: Mapping[str, str | int | None] = json.loads(_pointer_file(target).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return _Pointer(**content)  # type: ignore[arg-type]
