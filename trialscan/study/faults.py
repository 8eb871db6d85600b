"""Faults that know their place, brought into the order in which a reader meets them in the file."""

from collections.abc import Iterable
from typing import NamedTuple

from trialscan.errors import Fault


class Position(NamedTuple):
    """Line and column in a file, both counted from 1."""

    line: int
    column: int


class PlacedFault(NamedTuple):
    """A fault of a protocol: where it stands, the path of the field concerned, and what is wrong."""

    position: Position
    path: tuple[str, ...]
    message: str


def as_faults(name: str, placed: Iterable[PlacedFault]) -> list[Fault]:
    """Faults of the file `name` in reading order, each once, as `protocol.yaml:14:5: endpoints.primary`."""
    faults = []
    for position, path, message in sorted(set(placed)):
        where = f"{name}:{position.line}:{position.column}"
        faults.append(Fault(f"{where}: {'.'.join(path)}" if path else where, message))
    return faults


class RowFault(NamedTuple):
    """A fault of a table: the line on which the row starts, the column concerned (empty: the row), what is wrong."""

    line: int
    column: str
    message: str


def as_row_faults(name: str, placed: Iterable[RowFault]) -> list[Fault]:
    """Faults of the table `name` in reading order, as `manifest.csv:14: scan`."""
    ordered = sorted(placed, key=lambda fault: fault.line)
    return [Fault(f"{name}:{line}: {column}" if column else f"{name}:{line}", text) for line, column, text in ordered]
