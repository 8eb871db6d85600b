"""A YAML file as plain values, with the line and column of every field, for faults that point at their place."""

import unicodedata
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from trialscan.errors import InputError, ProtocolError
from trialscan.study.faults import PlacedFault, Position, as_faults
from trialscan.study.text_file import read_text

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
FieldPath = tuple[str, ...]

DEEPEST = 16
_TOO_DEEP = "nested too deeply"
YAML_TAG = "tag:yaml.org,2002:"


class Place(NamedTuple):
    """Where a field's name stands and where its value begins; the same place for an item of a list."""

    key: Position
    value: Position


@dataclass
class YamlSource:
    """What a YAML file says, where it says it, and what is wrong with the way it says it.

    `data` holds text, numbers, booleans, None, lists and mappings with text keys; dates are ISO text. `places` maps
    the path of every field to its `Place`; a field without a value has the place of its name. `faults` are those of
    the notation: repeated fields, anchors, odd values; `spoiled` are the paths whose value could not be taken over.
    """

    name: str
    data: Plain = None
    places: dict[FieldPath, Place] = field(default_factory=dict)
    faults: list[PlacedFault] = field(default_factory=list)
    spoiled: set[FieldPath] = field(default_factory=set)

    def place(self, path: FieldPath) -> Place:
        """The place of a field or, where the file does not have it, of the name of the nearest field around it."""
        if path in self.places:
            return self.places[path]
        key = self.place(path[:-1]).key if path else Position(1, 1)
        return Place(key, key)

    def is_spoiled(self, path: FieldPath) -> bool:
        """Whether the value at the path, or one that holds it, could not be taken over."""
        return any(path[: len(spoiled)] == spoiled for spoiled in self.spoiled)

    def spoil(self, position: Position, path: FieldPath, message: str) -> None:
        """Record a fault that costs the value at the path."""
        self.faults.append(PlacedFault(position, path, message))
        self.spoiled.add(path)


def read_yaml(
    path: Path, wanted: str = "the sections of a protocol, as in 'study:'", error: type[InputError] = ProtocolError
) -> YamlSource:
    """Read one YAML document that holds what is `wanted`; raises `error` where it is not YAML 1.2, or is empty."""
    text = read_text(path, error)
    source = YamlSource(path.name)
    root = _compose(text, source.name, error)
    if not isinstance(root, MappingNode):
        found = "the file is empty" if root is None else "the file holds no fields"
        message = f"{found}; expected {wanted}"
        raise error(as_faults(source.name, [PlacedFault(Position(1, 1), (), message)]))
    source.places[()] = Place(_position(root), _position(root))
    source.data = _build(root, (), source)
    return source


def _compose(text: str, name: str, refusal: type[InputError]) -> Node | None:
    yaml = YAML(typ="rt", pure=True)
    yaml.composer.warn_double_anchors = False  # each anchor is a fault already
    try:
        return yaml.compose(text)  # type: ignore[no-any-return]
    except ReaderError as error:
        before = text[: error.position]
        position = Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
        fault = PlacedFault(position, (), f"character {error.character!r} is not allowed in YAML; remove it")
    except MarkedYAMLError as error:
        problem = ", ".join(part for part in (error.problem, error.context) if part)
        fault = PlacedFault(_mark_position(error.problem_mark), (), f"not valid YAML: {problem}")
    except RecursionError:
        fault = PlacedFault(Position(1, 1), (), _TOO_DEEP)
    raise refusal(as_faults(name, [fault])) from None


def _build(node: Node, path: FieldPath, source: YamlSource) -> Plain:
    if node.anchor is not None:
        source.spoil(_position(node), path, f"anchor &{node.anchor} is not allowed; write the value out in each place")
        return None
    if len(path) > DEEPEST:
        source.spoil(_position(node), path, _TOO_DEEP)
        return None
    if isinstance(node, MappingNode):
        return _build_mapping(node, path, source)
    if isinstance(node, SequenceNode):
        items: list[Plain] = []
        for index, item in enumerate(node.value):
            inner = (*path, str(index))
            source.places[inner] = Place(_position(item), _position(item))
            items.append(_build(item, inner, source))
        return items
    return _build_scalar(node, path, source)


def _build_mapping(node: MappingNode, path: FieldPath, source: YamlSource) -> dict[str, Plain]:
    fields: dict[str, Plain] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, ScalarNode) or not _is_printable(key_node.value):
            source.faults.append(PlacedFault(_position(key_node), path, "a field's name must be plain text"))
            continue
        inner = (*path, key_node.value)
        if key_node.value in fields:
            line = source.places[inner].key.line
            message = f"the field is already set in line {line}; keep one of the two"
            source.faults.append(PlacedFault(_position(key_node), inner, message))
            continue
        empty = value_node.start_mark.index == value_node.end_mark.index
        source.places[inner] = Place(_position(key_node), _position(key_node if empty else value_node))
        fields[key_node.value] = _build(value_node, inner, source)
    return fields


def _build_scalar(node: Node, path: FieldPath, source: YamlSource) -> Plain:
    message = f"{node.value!r} cannot be read as {str(node.tag).removeprefix(YAML_TAG)}"
    try:
        value = YAML(typ="safe", pure=True).constructor.construct_object(node)
    except (YAMLError, ValueError, KeyError):
        source.spoil(_position(node), path, message)
        return None
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, int | float) or (isinstance(value, str) and _is_printable(value)):
        return value
    source.spoil(_position(node), path, message)
    return None


def _is_printable(text: str) -> bool:
    return all(character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs") for character in text)


def _position(node: Node) -> Position:
    return _mark_position(node.start_mark)


def _mark_position(mark: StringMark | None) -> Position:
    return Position(1, 1) if mark is None else Position(mark.line + 1, mark.column + 1)
