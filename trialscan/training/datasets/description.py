"""`dataset.yaml`: where annotated scans lie, what their masks mean, and who is kept for the comparison of models."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from trialscan.errors import InputError
from trialscan.study.conflicts import Conflict
from trialscan.study.diagnosis import placed_faults
from trialscan.study.faults import as_faults
from trialscan.study.section import Name, Section, Text
from trialscan.study.yaml_source import read_yaml

FILE = "dataset.yaml"
BACKGROUND = "background"
Label = Annotated[int, Field(ge=0, le=255)]
MaskValue = Annotated[int, Field(ge=0, le=65535)]


class Meaning(Section):
    """What a mask's values mean: a label for each, or one label for all but 0."""

    values: Mapping[MaskValue, Text] = {}
    any_value: Text | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """Neither or both ways of saying it."""
        if bool(self.values) == bool(self.any_value):
            yield Conflict((), "expected either values, as in {255: lesion}, or any_value, as in any_value: lesion")

    @property
    def named(self) -> tuple[str, ...]:
        """The labels it speaks of."""
        return tuple(self.values.values()) if self.any_value is None else (self.any_value,)


class ColumnMask(Meaning):
    """A column of a table that names a mask."""

    column: Text


class PathMask(Meaning):
    """Masks by the pattern of their paths."""

    path: Text


class Rule(Section):
    """How a case's name tells what it belongs to: the part a regular expression takes out, or a block of numbers."""

    regex: Text | None = None
    blocks_of: Annotated[int, Field(ge=1)] | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """Neither or both ways, or an expression that takes nothing out."""
        if (self.regex is None) == (self.blocks_of is None):
            yield Conflict((), "expected either regex or blocks_of")
        if self.regex is not None:
            try:
                count = re.compile(self.regex).groups
            except re.error as error:
                yield Conflict(("regex",), f"not a regular expression: {error}")
            else:
                if count != 1:
                    yield Conflict(("regex",), f"{count} groups in parentheses; expected one, as in '^([^_]+)_'")

    def of(self, case: str) -> str | None:
        """What the case belongs to; None where its name does not tell."""
        if self.regex is not None:
            found = re.search(self.regex, case)
            return found.group(1) if found else None
        number = re.search(r"\d+", case)
        if number is None or self.blocks_of is None:
            return None
        first = int(number.group()) // self.blocks_of * self.blocks_of
        return f"{first}-{first + self.blocks_of - 1}"


class Place(Section):
    """What every kind of source has.

    `root` is a folder, relative to the data set's own, or a URL that fsspec opens; of several, each file lies in one.
    `unannotated` says what becomes of an image without any mask; `tags` are attributes that all its cases share.
    """

    name: Name | None = None
    root: Text | Annotated[tuple[Text, ...], Field(min_length=1)] = "."
    unannotated: Literal["refuse", "skip"] = "refuse"
    tags: Mapping[Text, Text] = {}

    @property
    def roots(self) -> tuple[str, ...]:
        """The root, or each of several."""
        return (self.root,) if isinstance(self.root, str) else self.root


class TableSource(Place):
    """A CSV with a row a case; the defaults are the columns of a manifest."""

    table: Text = "manifest.csv"
    case: Annotated[tuple[Text, ...], Field(min_length=1)] = ("patient_id", "visit")
    patient: Text = "patient_id"
    group: Text | None = None
    images: Annotated[tuple[Text, ...], Field(min_length=1)] = ("scan",)
    masks: Annotated[tuple[ColumnMask, ...], Field(min_length=1)]
    attributes: tuple[Text, ...] = ()


class NamedPlace(Place):
    """A source that knows a case by its name alone: a patient and a group unless rules say otherwise."""

    patient: Rule | None = None
    group: Rule | None = None


class PatternSource(NamedPlace):
    """Files by patterns such as `images/{case}.jpg`; a field in braces is any text without a slash."""

    images: Annotated[tuple[Text, ...], Field(min_length=1)]
    masks: Annotated[tuple[PathMask, ...], Field(min_length=1)]


class DicomSource(NamedPlace):
    """Series by a pattern of folders, drawn on by DICOM SEG or RTSTRUCT; labels by the name of a segment or ROI."""

    series: Text
    drawings: Text
    structures: Annotated[Mapping[Text, Text], Field(min_length=1)]


class NnunetSource(NamedPlace):
    """A raw nnU-Net folder: dataset.json, imagesTr, labelsTr. Labels have the names of dataset.json."""


class Source(Section):
    """One source, of the kind that is its field's name."""

    table: TableSource | None = None
    pattern: PatternSource | None = None
    dicom: DicomSource | None = None
    nnunet: NnunetSource | None = None

    @property
    def place(self) -> TableSource | PatternSource | DicomSource | NnunetSource:
        """The source itself."""
        return self._given()[0]

    def conflicts(self) -> Iterator[Conflict]:
        """None or several kinds in one item."""
        if len(self._given()) != 1:
            yield Conflict(
                (), f"{len(self._given())} kinds; expected one of table, pattern, dicom, nnunet in each item"
            )

    def _given(self) -> list[TableSource | PatternSource | DicomSource | NnunetSource]:
        return [place for place in (self.table, self.pattern, self.dicom, self.nnunet) if place is not None]


class HeldOut(Section):
    """Who is kept from training: the groups listed, or a share of them drawn within each value of an attribute."""

    groups: tuple[Text, ...] = ()
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: int = 0
    stratified_by: Text | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """Neither or both ways of saying it."""
        if bool(self.groups) == (self.share is not None):
            yield Conflict((), "expected either groups or share")


class Description(Section):
    """The whole file. `labels` names what the merged masks hold; 0 is the background."""

    name: Name
    licence: Text
    source: Text
    labels: Annotated[Mapping[Label, Text], Field(min_length=1)]
    held_out: HeldOut | None = None
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @property
    def label_of(self) -> Mapping[str, int]:
        """Labels by their names, the background among them."""
        return {self.labels.get(0, BACKGROUND): 0} | {name: label for label, name in self.labels.items()}

    def conflicts(self) -> Iterator[Conflict]:
        """Labels of one name, masks that speak of unknown labels, several sources that cannot be told apart."""
        for label, name in self.labels.items():
            if self.label_of[name] != label:
                yield Conflict(("labels", str(label)), f"{name!r} is also label {self.label_of[name]}")
        names: set[str | None] = set()
        for index, source in enumerate(self.sources):
            kind, place = next((kind, place) for kind, place in source if place is not None)
            path = ("sources", str(index), kind)
            if len(self.sources) > 1 and (place.name is None or place.name in names):
                yield Conflict((*path, "name"), "expected a name of its own for each of several sources")
            names.add(place.name)
            yield from self._unknown_labels(path, place)

    def _unknown_labels(self, path: tuple[str, ...], place: Place) -> Iterator[Conflict]:
        spoken: dict[tuple[str, ...], tuple[str, ...]] = {}
        if isinstance(place, TableSource | PatternSource):
            spoken = {("masks", str(index)): mask.named for index, mask in enumerate(place.masks)}
        elif isinstance(place, DicomSource):
            spoken = {("structures",): tuple(place.structures.values())}
        for inner, labels in spoken.items():
            for name in labels:
                if name not in self.label_of:
                    known = ", ".join(self.label_of)
                    yield Conflict((*path, *inner), f"label {name!r} is not among the labels; expected one of {known}")


def read_description(path: Path) -> Description:
    """Read and check a description; raises InputError with every fault, as `dataset.yaml:14:5: sources.0: …`."""
    source = read_yaml(path, "the fields of a data set, as in 'name:'", InputError)
    faults = list(source.faults)
    try:
        description = Description.model_validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        faults += placed_faults(error, source, Description)
    if faults:
        raise InputError(as_faults(source.name, faults))
    return description
