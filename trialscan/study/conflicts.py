"""Contradictions inside a protocol, each with the path of the field that a reader should look at."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar

from trialscan.study.columns import KNOWN_COLUMNS


class Conflict(NamedTuple):
    """A contradiction: the path from the value checked down to the field at fault, and what is wrong with it."""

    path: tuple[str, ...]
    message: str


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _OfColumn(Protocol):
    @property
    def column(self) -> str: ...


NamedEntries = TypeVar("NamedEntries", bound="tuple[_Named, ...]")
ColumnEntries = TypeVar("ColumnEntries", bound="tuple[_OfColumn, ...]")


class ConflictError(ValueError):
    """Raised inside pydantic's validation, so that one check can report several fields."""

    def __init__(self, conflicts: Iterable[Conflict]) -> None:
        self.conflicts = tuple(conflicts)
        super().__init__("; ".join(f"{'.'.join(c.path)}: {c.message}".removeprefix(": ") for c in self.conflicts))


def window_around_zero(window_days: tuple[int, int]) -> tuple[int, int]:
    """Accept days before (≤ 0) and after (≥ 0) a planned day; raises ValueError."""
    low, high = window_days
    if not low <= 0 <= high:
        raise ValueError(
            f"found [{low}, {high}]; expected days before (0 or less) and after (0 or more), as in [-3, 3]"
        )
    return window_days


def rising_pair(pair: tuple[float, float]) -> tuple[float, float]:
    """Accept [low, high] with low below high; raises ValueError."""
    if pair[0] >= pair[1]:
        raise ValueError(f"found [{pair[0]:g}, {pair[1]:g}]; expected a rising pair, as in [-1024, 600]")
    return pair


def distinct_labels(labels: tuple[int, ...]) -> tuple[int, ...]:
    """Accept labels of which none appears twice; raises ConflictError."""
    _raise_if_any(_repeated([str(label) for label in labels], "label"))
    return labels


def distinct_covariates(names: tuple[str, ...]) -> tuple[str, ...]:
    """Accept covariates that are named once and are not columns with a meaning of their own; raises ConflictError."""
    found = list(_repeated(names, "covariate"))
    for index, name in enumerate(names):
        if name.lower() in KNOWN_COLUMNS:
            text = f"{name!r} is a column with a meaning of its own and cannot be a covariate"
            found.append(Conflict((str(index),), text))
    _raise_if_any(found)
    return names


def distinct_names(entries: NamedEntries) -> NamedEntries:
    """Accept analyses of which no two share a name; raises ConflictError."""
    _raise_if_any(_repeated([entry.name for entry in entries], "name"))
    return entries


def distinct_columns(entries: ColumnEntries) -> ColumnEntries:
    """Accept subgroups of different covariates; raises ConflictError."""
    distinct_covariates(tuple(entry.column for entry in entries))
    return entries


def measure_conflicts(measures: Mapping[tuple[str, ...], str], class_names: Iterable[str]) -> Iterator[Conflict]:
    """Endpoints, by their path, that measure a class the segmentation does not have."""
    allowed = ["burden_ml", "burden_percent", "organ_ml", "lesion_count"]
    allowed += [f"{name}_{unit}" for name in class_names for unit in ("ml", "percent")]
    for path, measure in measures.items():
        if measure not in allowed:
            yield Conflict(path, f"found {measure!r}; expected one of {', '.join(allowed)}")


def _repeated(values: Iterable[str], noun: str) -> Iterator[Conflict]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Conflict((str(index),), f"{noun} {value!r} is listed twice")
        seen.add(value)


def _raise_if_any(conflicts: Iterable[Conflict]) -> None:
    found = tuple(conflicts)
    if found:
        raise ConflictError(found)
