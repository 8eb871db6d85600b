"""The files below a source's roots, whether folders or URLs, under one set of relative names."""

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import fsspec

from trialscan.errors import Fault, InputError
from trialscan.training.datasets.objects import is_url


@dataclass(frozen=True)
class Listing:
    """Locations (paths or URLs) by posix path below the roots. Hidden files and folders are left out."""

    files: Mapping[str, Path | str]

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, itself or below."""
        ends = ((path, end) for path in self.files for end, letter in enumerate(path) if letter == "/")
        return frozenset(path[:end] for path, end in ends)

    def below(self, path: str) -> tuple[str, ...]:
        """The file of that path, or those below the folder of that path."""
        if path in self.files:
            return (path,)
        start, end = (bisect_left(self._names, path + mark) for mark in ("/", "0"))
        return self._names[start:end]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))


def list_files(roots: tuple[str, ...], base: Path) -> Listing:
    """List roots, each a URL or a folder relative to `base`.

    Raises
    ------
    InputError
        A root is not there, or a path lies below two of them.
    """
    files: dict[str, Path | str] = {}
    faults: list[Fault] = []
    for root in roots:
        try:
            for path, location in _remote(root) if is_url(root) else _local(base / root):
                if path in files:
                    faults.append(Fault(path, f"lies below two roots: {files[path]} and {location}; keep one"))
                files[path] = location
        except OSError as error:
            faults.append(Fault(root, f"cannot be listed: {error.strerror or error}; expected a folder or URL"))
    if faults:
        raise InputError(faults)
    return Listing(files)


def _local(root: Path) -> Iterator[tuple[str, Path | str]]:
    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(folder, name)
                yield path.relative_to(root).as_posix(), path


def _remote(root: str) -> Iterator[tuple[str, Path | str]]:
    system, start = fsspec.url_to_fs(root)
    if not system.isdir(start):
        raise FileNotFoundError(f"no folder {root}")
    for name in sorted(system.find(start)):
        path = name.removeprefix(start.rstrip("/")).lstrip("/")
        if not any(part.startswith(".") for part in path.split("/")):
            yield path, system.unstrip_protocol(name)
