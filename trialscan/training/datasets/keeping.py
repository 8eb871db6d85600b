"""How a file comes into the store: by sharing its blocks, by a second name, as a copy, or by word of where it lies."""

import errno
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_NEVER_HERE = {errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.ENOSYS}
_NOT_HERE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EMLINK}


class Kept(StrEnum):
    """How the store holds a file's bytes.

    `REFLINK` and `COPY` are bytes of the store's own, which nothing done to the original changes. `HARDLINK` survives
    that the original is deleted or replaced, not that it is written into; `POINTER` neither.
    """

    REFLINK = "reflink"
    COPY = "copy"
    HARDLINK = "hardlink"
    POINTER = "pointer"
    PRESENT = "present"


class Reflinks:
    """Makes reflinks, and remembers between which file systems there are none: one try is enough for all files."""

    def __init__(self) -> None:
        self._never: set[tuple[int, int]] = set()

    def __call__(self, source: Path, target: Path) -> bool:
        """Make `target` a new file that shares the blocks of `source` until one of them is written to.

        False, and nothing made, where the file system cannot (ext4, or another file system than the source's).
        """
        systems = (source.stat().st_dev, target.parent.stat().st_dev)
        if systems in self._never:
            return False
        with source.open("rb") as reader, target.open("xb") as writer:
            try:
                fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                if error.errno in _NEVER_HERE:
                    self._never.add(systems)
            else:
                return True
        target.unlink()
        return False


def hardlink(source: Path, target: Path) -> bool:
    """Give the file `source` the second name `target`; False where the file system cannot or does not allow it."""
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return False
    return True


def keep(source: Path, target: Path, partial: Path, reflinks: Reflinks, *, own_bytes: bool) -> Kept:
    """Put a file's bytes at `target`, whole or not at all; `POINTER` where only a pointer is left to be written.

    A reflink wherever the file system can. Elsewhere a copy where the store needs bytes of its own, otherwise a hard
    link. `partial` is a folder on the target's file system for what is not yet whole.
    """
    ways: list[tuple[Kept, Callable[[Path, Path], bool]]] = [(Kept.REFLINK, reflinks)]
    ways.append((Kept.COPY, _copy) if own_bytes else (Kept.HARDLINK, hardlink))
    unfinished = partial / uuid.uuid4().hex
    try:
        for kind, way in ways:
            if way(source, unfinished):
                if kind is not Kept.HARDLINK:
                    unfinished.chmod(0o444)
                unfinished.replace(target)
                return kind
    finally:
        unfinished.unlink(missing_ok=True)
    return Kept.POINTER


def write_whole(text: str, target: Path, partial: Path) -> None:
    """Write UTF-8 text so that `target` is either whole or as it was."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=partial, delete=False) as stream:
        stream.write(text)
    Path(stream.name).chmod(0o644)
    Path(stream.name).replace(target)


def _copy(source: Path, target: Path) -> bool:
    shutil.copyfile(source, target)
    return True
