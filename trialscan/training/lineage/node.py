"""One thing in a lineage, with those that it leads to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["row", "scan", "mask", "model", "experiment", "snapshot", "file", "promotion", "missing"]
_MOST_SHOWN = 8


@dataclass(frozen=True)
class Node:
    """A thing by kind, name and digest; `note` says what is known of it. A `missing` one was named but not found."""

    kind: Kind
    name: str
    sha256: str | None = None
    note: str = ""
    leads_to: tuple["Node", ...] = ()

    @property
    def unbroken(self) -> bool:
        """Whether nothing below is missing or changed."""
        return self.kind != "missing" and all(node.unbroken for node in self.leads_to)


def as_text(node: Node) -> str:
    """The chain as an indented list; of many files the first few and their number."""
    return "\n".join(_lines(node, 0))


def _lines(node: Node, depth: int) -> Iterator[str]:
    digest = f" {node.sha256[:12]}" if node.sha256 else ""
    note = f": {node.note}" if node.note else ""
    yield f"{'  ' * depth}{node.kind} {node.name}{digest}{note}"
    files = [child for child in node.leads_to if child.kind == "file"]
    hidden = set(map(id, files[_MOST_SHOWN:]))
    for child in node.leads_to:
        if id(child) not in hidden:
            yield from _lines(child, depth + 1)
    if hidden:
        yield f"{'  ' * (depth + 1)}and {len(hidden)} files more"
