"""What sources give before any file is opened: cases that name files, and where those files lie."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trialscan.errors import Fault


@dataclass(frozen=True)
class Drawing:
    """Drawn structures that become a mask on the image's grid: label by the name of a segment or ROI."""

    path: str
    structures: Mapping[str, int]


@dataclass(frozen=True)
class DraftMask:
    """A mask: label by value, or one label for `any_value` but 0; made from a `drawing` where that is given."""

    path: str
    values: Mapping[int, int] = field(default_factory=dict)
    any_value: int | None = None
    drawing: Drawing | None = None


@dataclass(frozen=True)
class DraftCase:
    """A case as its source names it; `where` is the row or image, for messages. Paths are those of the snapshot."""

    where: str
    case_id: str
    patient_id: str
    group: str
    images: tuple[str, ...]
    masks: tuple[DraftMask, ...]
    attributes: Mapping[str, str]


@dataclass
class Draft:
    """All cases so far, where every file lies that they may name, faults, and images left out as without masks."""

    cases: list[DraftCase] = field(default_factory=list)
    locations: dict[str, Path | str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unannotated: list[str] = field(default_factory=list)

    def fault(self, where: str, message: str) -> None:
        """Record a fault and go on."""
        self.faults.append(Fault(where, message))
