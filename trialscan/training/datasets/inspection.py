"""Every image and mask of a draft opened and held against each other, before anything is recorded."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from trialscan.errors import Fault, InputError, ScanError
from trialscan.imaging import Volume, read_mask, read_volume, write_volume
from trialscan.imaging.dicom.drawings import read_drawings
from trialscan.training.datasets.draft import DraftCase, DraftMask
from trialscan.training.datasets.staging import Staging

_MOST_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Inspected:
    """What one case's files hold: the values of each mask but 0, or what is wrong."""

    values: tuple[frozenset[int], ...]
    faults: tuple[Fault, ...]


Below = Callable[[str], tuple[str, ...]]


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in the order of the items, several worked on at once: reading and inflating let other threads run."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        yield from pool.map(work, items)


def inspect(cases: Sequence[DraftCase], staging: Staging, below: Below) -> Iterator[Inspected]:
    """Open all files of all cases; masks are made from drawings on the way, at `staging.new(mask.path)`.

    Found: files that cannot be read, channels on different grids, masks on another grid than the image, values that
    the mask's meaning does not name. `below` gives the files of a path in the snapshot.
    """
    return in_threads(lambda case: _inspect(case, staging, below), cases)


def _inspect(case: DraftCase, staging: Staging, below: Below) -> Inspected:
    faults: list[Fault] = []
    values: list[frozenset[int]] = []
    image: Volume | None = None
    for path in case.images:
        with _caught(faults, path):
            channel = read_volume(_readable(path, staging, below))
            if image is None:
                image = channel
            elif not _same_grid(channel, image):
                faults.append(Fault(path, f"on another grid than {case.images[0]}: {channel.shape} and {image.shape}"))
    for mask in case.masks:
        found: frozenset[int] = frozenset()
        with _caught(faults, mask.path):
            found = values_of(_mask(case, mask, image, staging, below))
            unknown = sorted(found - mask.values.keys()) if mask.any_value is None else []
            if unknown:
                message = f"holds {_listed(unknown)}; expected 0, {_listed(sorted(mask.values))} as the label map says"
                faults.append(Fault(mask.path, message))
        values.append(found)
    return Inspected(tuple(values), tuple(faults))


def values_of(mask: Volume) -> frozenset[int]:
    """The labels in a mask but 0."""
    seen = np.zeros(int(np.iinfo(mask.array.dtype).max) + 1, dtype=np.bool_)
    for k in range(mask.shape[2]):
        seen[mask.array[:, :, k]] = True
    return frozenset(int(value) for value in np.flatnonzero(seen) if value)


class _caught:  # noqa: N801 - reads as a verb
    """Takes errors of reading as faults of the file concerned."""

    def __init__(self, faults: list[Fault], path: str) -> None:
        self._faults = faults
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, InputError):
            self._faults += error.faults
        elif isinstance(error, ScanError):
            self._faults.append(Fault(self._path, str(error).removeprefix(f"{Path(self._path).name}: ")))
        return isinstance(error, InputError | ScanError)


def _readable(path: str, staging: Staging, below: Below) -> Path:
    files = below(path)
    return staging.file(path) if files == (path,) else staging.folder(path, files)


def _mask(case: DraftCase, mask: DraftMask, image: Volume | None, staging: Staging, below: Below) -> Volume:
    if mask.drawing is None:
        return read_mask(_readable(mask.path, staging, below), image)
    if image is None:
        raise ScanError(mask.path, "its image cannot be read", "an image to draw on")
    series, drawn = (_readable(path, staging, below) for path in (case.images[0], mask.drawing.path))
    made = read_drawings(drawn, series, image, mask.drawing.structures)
    write_volume(staging.new(mask.path), made)
    return made


def _same_grid(one: Volume, other: Volume) -> bool:
    if one.spacing_known and other.spacing_known:
        return one.same_grid(other)
    return one.shape == other.shape


def _listed(values: Sequence[int]) -> str:
    shown = ", ".join(str(value) for value in values[:8])
    return shown if len(values) <= 8 else f"{shown} and {len(values) - 8} more"
