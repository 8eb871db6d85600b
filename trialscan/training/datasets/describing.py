"""What a folder holds: as its `dataset.yaml` says, or as a trial's manifest or nnU-Net's `dataset.json` lets see."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trialscan.errors import Fault, InputError
from trialscan.study import load_protocol
from trialscan.study.table import read_table
from trialscan.training.datasets.description import (
    FILE,
    ColumnMask,
    Description,
    NnunetSource,
    Source,
    TableSource,
    read_description,
)
from trialscan.training.datasets.sources.listing import list_files
from trialscan.training.datasets.sources.nnunet import labels_of, read_dataset_json

_MANIFEST = "manifest.csv"
_NNUNET = "dataset.json"
_ORGAN, _LESION = "organ_mask", "lesion_mask"


def describe_folder(
    folder: Path,
    description: Path | None = None,
    *,
    name: str | None = None,
    licence: str | None = None,
    source: str | None = None,
    protocol: str | None = None,
) -> Description:
    """The description given, or the folder's `dataset.yaml`, or one made from its `manifest.csv` or `dataset.json`.

    `name`, `licence` and `source` take the place of what a description says; without one, the licence and source have
    to be given. A manifest's masks hold what the protocol's `organ_name` and `reader_lesion_labels` say; without a
    protocol any value of an `organ_mask` is `organ` and any of a `lesion_mask` is `lesion`.

    Raises
    ------
    InputError
        There is nothing to go by, a fact is missing, or the file is faulty.
    """
    given = {"name": name, "licence": licence, "source": source}
    file = description or folder / FILE
    if description is not None or file.is_file():
        said = read_description(file)
        return _valid(said.model_dump() | {key: text for key, text in given.items() if text})
    missing = [Fault(f"--{key}", f"not given, and there is no {FILE} in {folder}") for key in given if not given[key]]
    missing = [fault for fault in missing if fault.where != "--name"]
    if missing:
        raise InputError(missing)
    if (folder / _MANIFEST).is_file():
        labels, found = _of_manifest(folder / _MANIFEST, protocol)
    elif (folder / _NNUNET).is_file():
        labels, found = _of_nnunet(folder)
    else:
        raise InputError([Fault(str(folder), f"no {FILE}, {_MANIFEST} or {_NNUNET} in it; write a {FILE}")])
    called = name or "".join(letter if letter.isalnum() else "_" for letter in folder.resolve().name)
    return _valid({**given, "name": called, "labels": labels, "sources": (found,)})


def _valid(fields: Mapping[str, Any]) -> Description:
    try:
        return Description.model_validate(fields)
    except ValidationError as error:
        raise InputError(
            [Fault(".".join(map(str, fault["loc"])), f"{fault['input']!r}: {fault['msg']}") for fault in error.errors()]
        ) from error


def _of_manifest(manifest: Path, protocol: str | None) -> tuple[dict[int, str], Source]:
    columns = read_table(manifest, (), (), InputError).columns
    there = [column for column in (_ORGAN, _LESION) if column in columns]
    if not there:
        raise InputError([Fault(f"{manifest.name}:1", f"neither {_ORGAN} nor {_LESION}; expected masks to learn from")])
    masks: list[ColumnMask] = []
    if protocol is None:
        names = {_ORGAN: "organ", _LESION: "lesion"}
        masks = [ColumnMask(column=column, any_value=names[column]) for column in there]
    else:
        settings = load_protocol(protocol).segmentation
        if _ORGAN in there:
            masks.append(ColumnMask(column=_ORGAN, any_value=settings.organ_name))
        if _LESION in there:
            masks.append(ColumnMask(column=_LESION, values=dict(settings.reader_lesion_labels)))
    labels = dict(enumerate(dict.fromkeys(name for mask in masks for name in mask.named), start=1))
    known = {"scan", "patient_id", "visit", "study_day", "scan_date", "arm", _ORGAN, _LESION}
    attributes = tuple(column for column in columns if column not in known)
    return labels, Source(table=TableSource(masks=tuple(masks), attributes=attributes))


def _of_nnunet(folder: Path) -> tuple[dict[int, str], Source]:
    names = labels_of(read_dataset_json(list_files((".",), folder)))
    return {value: name for value, name in names.items() if value}, Source(nnunet=NnunetSource())
