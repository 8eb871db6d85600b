"""One scan to its masks: `patients/<id>/<visit>/lesions.nii.gz`, `organ.nii.gz` and `segmentation.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from trialscan.audit.json_file import read_json, write_json
from trialscan.imaging import Units, read_mask, read_volume, write_volumes
from trialscan.pipeline.setting import Model, Setting, VisitInput
from trialscan.pipeline.tasks import Task, Written
from trialscan.segmentation import ModelIdentity, Segmentation, Segmenter, load_model, segment_scan
from trialscan.segmentation.device import device_name
from trialscan.segmentation.stopwatch import Stopwatch
from trialscan.study import Scan, SegmentationSettings

VERSION = 3
PERCENT = "probability.nii.gz"
LEAST_PERCENT = 5


@dataclass(frozen=True)
class SegmentArguments:
    """`folder` is relative to the run; `model` None when no network is needed."""

    folder: str
    scan: Scan
    settings: SegmentationSettings
    model: Model | None
    device: str


def segment_task(setting: Setting, entry: VisitInput) -> Task:
    """The task of one scan. A scan with both masks of a reader needs no network, and does not depend on one."""
    scan, settings = entry.visit.scan, setting.protocol.segmentation
    model = setting.model if scan.organ_mask is None or scan.lesion_mask is None else None
    inputs = setting.digests[scan].inputs
    return Task(
        kind="segment",
        subject=entry.subject,
        version=VERSION,
        work=segment,
        arguments=SegmentArguments(entry.folder, scan, settings, model, setting.device if model else "cpu"),
        parameters=settings.model_dump(mode="json") | ({"device": setting.device} if model else {}),
        inputs=inputs | ({"model": model.sha256} if model else {}),
        resource="gpu" if model and setting.device == "cuda" else "cpu",
    )


def segment(run: Path, arguments: SegmentArguments, failures: Mapping[str, str]) -> Written:  # noqa: ARG001 - has no needs
    """Read the scan and any masks of a reader, segment what is missing, write all of it on the native grid."""
    scan, settings, watch = arguments.scan, arguments.settings, Stopwatch()
    with watch.stage("read"):
        volume = read_volume(scan.path, Units(settings.units))
        organ_mask = read_mask(scan.organ_mask, like=volume) if scan.organ_mask else None
        lesion_mask = read_mask(scan.lesion_mask, like=volume) if scan.lesion_mask else None
    with watch.stage("load_model"):
        segmenter = _segmenter(arguments.model, settings, arguments.device) if arguments.model else None
    with watch.stage("segment"):
        result = segment_scan(
            volume, settings=settings, segmenter=segmenter, organ_mask=organ_mask, lesion_mask=lesion_mask
        )
    with watch.stage("write"):
        names = write_segmentation(run, arguments.folder, result)
    return Written(names, watch.seconds | dict(result.seconds), device_name(arguments.device))


def write_segmentation(run: Path, folder: str, result: Segmentation) -> list[str]:
    """Write masks, the model's lesion probability (0 below 5 %, to spare space) and facts; returns the paths."""
    (run / folder).mkdir(parents=True, exist_ok=True)
    masks = {"lesions.nii.gz": result.lesions, "organ.nii.gz": result.organ, PERCENT: None}
    if result.probability_percent is not None:
        percent = result.probability_percent.array
        masks[PERCENT] = result.probability_percent.with_array(np.where(percent < LEAST_PERCENT, 0, percent))
    for name in masks:
        (run / folder / name).unlink(missing_ok=True)
    write_volumes({run / folder / name: mask for name, mask in masks.items() if mask is not None})
    names = [f"{folder}/segmentation.json", *(f"{folder}/{name}" for name, mask in masks.items() if mask is not None)]
    facts = {
        "organ_source": result.organ_source,
        "lesion_source": result.lesion_source,
        "class_names": {str(label): name for label, name in sorted(result.class_names.items())},
        "model": asdict(result.model) if result.model else None,
        "quality": result.quality,
        "flags": list(result.flags),
    }
    write_json(run / names[0], facts)
    return names


def read_segmentation(run: Path, folder: str, *, with_probability: bool = False) -> Segmentation:
    """What `write_segmentation` wrote; the probability, which few need, on demand."""
    facts = read_json(run / folder / "segmentation.json")
    organ, percent = run / folder / "organ.nii.gz", run / folder / PERCENT
    return Segmentation(
        organ=read_mask(organ) if organ.exists() else None,
        lesions=read_mask(run / folder / "lesions.nii.gz"),
        class_names={int(label): name for label, name in facts["class_names"].items()},
        organ_source=facts["organ_source"],
        lesion_source=facts["lesion_source"],
        model=ModelIdentity(**facts["model"]) if facts["model"] else None,
        quality=facts["quality"],
        flags=tuple(facts["flags"]),
        probability_percent=read_mask(percent) if with_probability and percent.exists() else None,
    )


def _segmenter(model: Model, settings: SegmentationSettings, device: str) -> Segmenter:
    """The model, loaded once a process."""
    return _loaded(model, settings.model_dump_json(), device)


@lru_cache(maxsize=1)
def _loaded(model: Model, settings: str, device: str) -> Segmenter:
    parsed = SegmentationSettings.model_validate_json(settings)
    return load_model(model.bundle, parsed, device=device, trusted=model.trusted)
