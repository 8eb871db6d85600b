"""What an nnU-Net v2 folder says of its model, read from `dataset.json` and `plans.json` without loading it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialscan.errors import SegmentationError
from trialscan.segmentation.specification import read_json


@dataclass(frozen=True)
class NnunetFacts:
    """Name of the data set, configuration (`3d_fullres`), spacing in nnU-Net's axes (k, j, i), and labels by number."""

    name: str
    configuration: str
    channel: str
    reader: str
    spacing_mm: tuple[float, ...]
    patch: tuple[int, ...]
    labels: dict[int, str]


def read_nnunet(path: Path) -> NnunetFacts:
    """Read a configuration's folder, named `trainer__plans__configuration` as nnU-Net names it.

    Raises SegmentationError when a file is damaged, the configuration is not in the plans, or takes several channels.
    """
    dataset, plans = read_json(path / "dataset.json"), read_json(path / "plans.json")
    channels = dataset.get("channel_names", {})
    if len(channels) != 1:
        raise SegmentationError(
            f"{path.name}/dataset.json", f"{len(channels)} channels", "one: a visit has one scan", "Use another model."
        )
    configuration = path.name.split("__")[-1]
    settings = _settings(plans.get("configurations", {}), configuration)
    if not settings:
        raise SegmentationError(
            f"{path.name}/plans.json",
            f"no configuration {configuration!r}",
            "a folder named trainer__plans__configuration",
            "Keep the name that nnU-Net gave the folder.",
        )
    labels = {number: name for name, value in dataset.get("labels", {}).items() for number in _numbers(value)}
    return NnunetFacts(
        str(plans.get("dataset_name", path.parent.name)),
        configuration,
        str(next(iter(channels.values()))),
        str(dataset.get("overwrite_image_reader_writer") or plans.get("image_reader_writer", "")),
        tuple(settings.get("spacing", ())),
        tuple(settings.get("patch_size", ())),
        _named(dataset, labels),
    )


def _settings(configurations: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """A configuration with what it inherits; empty where there is none of the name."""
    own = configurations.get(name, {})
    parent = own.get("inherits_from")
    return (_settings(configurations, parent) if parent and parent != name else {}) | own


def _numbers(value: object) -> list[int]:
    """A label's number, or those that a region is made of."""
    return [int(number) for number in value] if isinstance(value, list | tuple) else [int(str(value))]


def _named(dataset: dict[str, object], labels: dict[int, str]) -> dict[int, str]:
    """Of a model of regions, the answer's labels are those of `regions_class_order`, each named by its region."""
    order = dataset.get("regions_class_order")
    if not isinstance(order, list):
        return dict(sorted(labels.items()))
    given = dataset.get("labels")
    names = [name for name in given if name not in {"background", "ignore"}] if isinstance(given, dict) else []
    return {0: "background", **{int(str(number)): name for number, name in zip(order, names, strict=False)}}
