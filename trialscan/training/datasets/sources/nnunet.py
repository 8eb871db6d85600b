"""Cases from a raw nnU-Net folder: `imagesTr/<case>_0000.nii.gz`, `labelsTr/<case>.nii.gz`, `dataset.json`."""

import json
import re
from collections.abc import Mapping
from typing import Any

import fsspec

from trialscan.errors import Fault, InputError
from trialscan.training.datasets.description import NnunetSource
from trialscan.training.datasets.draft import DraftCase, DraftMask
from trialscan.training.datasets.sources.listing import Listing
from trialscan.training.datasets.sources.naming import Naming

_JSON = "dataset.json"
_IMAGES = "imagesTr/"
_LABELS = "labelsTr/"


def nnunet_cases(place: NnunetSource, names: Naming) -> None:
    """Add the training cases; test images (`imagesTs`) have no masks and are left out."""
    content = read_dataset_json(names.listing)
    values = _values(labels_of(content), names.label_of)
    ending = str(content.get("file_ending", ".nii.gz"))
    channels = len(content.get("channel_names", content.get("modality", {})))
    for case, images in sorted(_images(names.listing, ending).items()):
        where = names.path(images[0])
        mask = names.take(f"{_LABELS}{case}{ending}")
        if mask is None and place.unannotated == "skip":
            names.draft.unannotated.append(names.case(case))
            continue
        if len(images) != channels:
            names.draft.fault(where, f"{len(images)} channels; {_JSON} names {channels}")
        patient, group = names.belonging(place, where, names.case(case), None)
        taken = tuple(path for path in (names.take(image) for image in images) if path is not None)
        masks = () if mask is None else (DraftMask(mask, values),)
        names.draft.cases.append(DraftCase(where, names.case(case), patient, group, taken, masks, dict(place.tags)))


def read_dataset_json(listing: Listing) -> Mapping[str, Any]:
    """The folder's `dataset.json`; InputError where it is missing or no JSON object."""
    if _JSON not in listing.files:
        raise InputError([Fault(_JSON, "missing; expected it in a raw nnU-Net folder")])
    try:
        with fsspec.open(str(listing.files[_JSON]), "rt", encoding="utf-8") as stream:
            content = json.load(stream)
    except (OSError, ValueError) as error:
        raise InputError([Fault(_JSON, f"cannot be read: {error}")]) from error
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise InputError([Fault(_JSON, "has no labels; expected an object with 'labels' and 'channel_names'")])
    return content


def labels_of(content: Mapping[str, Any]) -> Mapping[int, str]:
    """Names by value: version 2 writes `{name: value}`, version 1 `{value: name}`. InputError for regions."""
    named: dict[int, str] = {}
    for key, value in content["labels"].items():
        if isinstance(value, list):
            message = f"label {key!r} is a region of {value}; expected one value a label"
            raise InputError([Fault(f"{_JSON}: labels", message)])
        name, number = (value, key) if isinstance(value, str) and str(key).isdigit() else (key, value)
        if name != "ignore":
            named[int(number)] = str(name)
    return named


def _values(names: Mapping[int, str], label_of: Mapping[str, int]) -> Mapping[int, int]:
    unknown = [name for value, name in names.items() if value and name not in label_of]
    if unknown:
        message = f"{', '.join(unknown)} not among the labels of the description: {', '.join(label_of)}"
        raise InputError([Fault(f"{_JSON}: labels", message)])
    return {value: label_of[name] for value, name in names.items() if value}


def _images(listing: Listing, ending: str) -> Mapping[str, list[str]]:
    """Channels of each case, in order."""
    expression = re.compile(re.escape(_IMAGES) + r"([^/]+)_(\d{4})" + re.escape(ending))
    found: dict[str, list[str]] = {}
    for path in sorted(listing.files):
        match = expression.fullmatch(path)
        if match is not None:
            found.setdefault(match.group(1), []).append(path)
    if not found:
        raise InputError([Fault(_IMAGES, f"no image <case>_0000{ending} in it")])
    return found
