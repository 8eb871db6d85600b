"""What a snapshot is: one immutable version of annotated scans, told by its content.

A snapshot names its files by digest, says which are the images and masks of which case, what a mask's values mean, who
the patient is, which patients are held out, and where the data come from under which licence. Its `digest` is that of
all this and of nothing else: no path of a machine, no clock. Two snapshots of one digest hold the same bytes under the
same names. Where the bytes lie is the store's business.
"""

import hashlib
import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

from trialscan.errors import Fault, InputError

SCHEMA = "trialscan-snapshot-1"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AFTER_SLASH = chr(ord("/") + 1)


@dataclass(frozen=True, order=True)
class SnapshotFile:
    """One file: `path` is its posix path within the snapshot, `size` is in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class CaseMask:
    """A mask of a case and what its values mean.

    `path` is a file of the snapshot, or a folder of them (a DICOM series). `values` takes the mask's values to the
    snapshot's labels; a value that it does not name is a fault, 0 is the background unless it says otherwise.
    """

    path: str
    values: Mapping[int, int]


@dataclass(frozen=True)
class AnnotatedCase:
    """One annotated image.

    `images` are its channels, each a file of the snapshot or a folder of them (a DICOM series). Of several `masks` a
    later one paints over an earlier where it is not background. Cases of one `group` are never parted by a split; it
    is the patient unless the data say otherwise. `attributes` are what the comparison is broken down by (site, sex,
    age, scanner).
    """

    case_id: str
    patient_id: str
    group: str
    images: tuple[str, ...]
    masks: tuple[CaseMask, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """One version of a data set. Valid once made: InputError lists every fault.

    `labels` names the values that the cases' merged masks hold, 0 being the background. `held_out` are groups kept
    from every training, for the comparison of models. `parent` is the digest of the snapshot that this one follows.
    """

    name: str
    licence: str
    source: str
    labels: Mapping[int, str]
    files: tuple[SnapshotFile, ...]
    cases: tuple[AnnotatedCase, ...]
    held_out: tuple[str, ...] = ()
    parent: str | None = None

    def __post_init__(self) -> None:
        """Sort what has no order of its own, freeze the maps, and refuse what does not hold together."""
        object.__setattr__(self, "files", tuple(sorted(self.files)))
        object.__setattr__(self, "cases", tuple(sorted(self.cases, key=lambda case: case.case_id)))
        object.__setattr__(self, "held_out", tuple(sorted(self.held_out)))
        object.__setattr__(self, "labels", MappingProxyType(dict(sorted(self.labels.items()))))
        if faults := tuple(self._faults()):
            raise InputError(faults)

    def __reduce__(self) -> tuple[Callable[[str, str], "Snapshot"], tuple[str, str]]:
        """Pickle as JSON: the frozen maps have no pickle of their own."""
        return type(self).from_json, (self.to_json(), self.name)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the snapshot's canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def training_cases(self) -> tuple[AnnotatedCase, ...]:
        """The cases that may be learnt from."""
        return tuple(case for case in self.cases if case.group not in self.held_out)

    @property
    def held_out_cases(self) -> tuple[AnnotatedCase, ...]:
        """The cases kept for the comparison of models."""
        return tuple(case for case in self.cases if case.group in self.held_out)

    def files_of(self, path: str) -> tuple[SnapshotFile, ...]:
        """The file of that path, or the files below the folder of that path; empty where there is none."""
        first = bisect_left(self.files, path, key=_path)
        if first < len(self.files) and self.files[first].path == path:
            return (self.files[first],)
        start, end = (bisect_left(self.files, path + mark, key=_path) for mark in ("/", _AFTER_SLASH))
        return self.files[start:end]

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no white space, UTF-8."""
        content = {
            "schema": SCHEMA,
            "name": self.name,
            "licence": self.licence,
            "source": self.source,
            "labels": dict(self.labels),
            "files": [vars(file) for file in self.files],
            "cases": [_plain(case) for case in self.cases],
            "held_out": self.held_out,
            "parent": self.parent,
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """Read what `to_json` wrote; InputError names `where` when it is something else."""
        try:
            content: dict[str, Any] = json.loads(text)
            if content.pop("schema") != SCHEMA:
                raise InputError([Fault(where, f"not a snapshot of schema {SCHEMA}")])
            return cls(
                **{
                    **content,
                    "labels": {int(value): name for value, name in content["labels"].items()},
                    "files": tuple(SnapshotFile(**file) for file in content["files"]),
                    "cases": tuple(_case(case) for case in content["cases"]),
                    "held_out": tuple(content["held_out"]),
                }
            )
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError([Fault(where, f"not a snapshot: {error}")]) from error

    def _faults(self) -> Iterator[Fault]:
        if not _NAME.fullmatch(self.name):
            yield Fault(f"name {self.name!r}", "expected letters, digits, - and _ only, 64 at most")
        for file in self.files:
            if not _stays_inside(file.path):
                yield Fault(f"{self.name}: file {file.path}", "expected a plain relative path, without . and ..")
        if not self.cases:
            yield Fault(self.name, "no cases; expected at least one image with its mask")
        if 0 not in self.labels:
            yield Fault(f"{self.name}: labels", "no name for 0; expected the background")
        for kind, names in (
            ("case", Counter(case.case_id for case in self.cases)),
            ("file", Counter(file.path for file in self.files)),
        ):
            yield from (Fault(f"{self.name}: {kind} {name}", f"named {n} times") for name, n in names.items() if n > 1)
        groups = {case.group for case in self.cases}
        yield from (
            Fault(f"{self.name}: held_out {group}", "no case is of this group")
            for group in self.held_out
            if group not in groups
        )
        yield from self._faults_of_groups()
        known = {file.path for file in self.files}
        folders = {path[:end] for path in known for end, letter in enumerate(path) if letter == "/"}
        for case in self.cases:
            yield from self._faults_of_case(case, known | folders)

    def _faults_of_groups(self) -> Iterator[Fault]:
        groups_of: dict[str, set[str]] = {}
        for case in self.cases:
            groups_of.setdefault(case.patient_id, set()).add(case.group)
        for patient, groups in sorted(groups_of.items()):
            if len(groups) > 1:
                yield Fault(f"{self.name}: patient {patient}", f"in groups {', '.join(sorted(groups))}; expected one")

    def _faults_of_case(self, case: AnnotatedCase, known: set[str]) -> Iterator[Fault]:
        where = f"{self.name}: case {case.case_id}"
        if not case.images:
            yield Fault(where, "no image")
        if not case.masks:
            yield Fault(where, "image without mask; expected at least one, or leave the case out")
        for path in (*case.images, *(mask.path for mask in case.masks)):
            if path not in known:
                yield Fault(where, f"{path} is not a file or folder of the snapshot")
        for mask in case.masks:
            for value, label in sorted(mask.values.items()):
                if label not in self.labels:
                    yield Fault(where, f"{mask.path}: value {value} means {label}; expected one of {list(self.labels)}")


def _plain(case: AnnotatedCase) -> Mapping[str, Any]:
    masks: list[dict[str, Any]] = [{"path": mask.path, "values": dict(mask.values)} for mask in case.masks]
    return {**vars(case), "masks": masks, "attributes": dict(case.attributes)}


def _stays_inside(path: str) -> bool:
    return not any(part in {"", ".", ".."} for part in path.split("/"))


def _path(file: SnapshotFile) -> str:
    return file.path


def _case(content: Mapping[str, Any]) -> AnnotatedCase:
    masks = tuple(
        CaseMask(mask["path"], {int(value): label for value, label in mask["values"].items()})
        for mask in content["masks"]
    )
    return AnnotatedCase(**{**content, "images": tuple(content["images"]), "masks": masks})
