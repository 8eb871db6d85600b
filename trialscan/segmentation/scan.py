"""One scan to its organ and lesion masks: the reader's where there are any, the model's for the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import GeometryError, SegmentationError
from trialscan.imaging import Units, Volume, occupied_box
from trialscan.segmentation.contract import LabelMap, ModelIdentity, Segmenter
from trialscan.segmentation.quality import Masks, measure_quality, raise_flags
from trialscan.study.sections import SegmentationSettings

Source = Literal["reader", "model", "none"]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Masks of one scan on its own grid, where they came from, and how far to trust them.

    organ : any positive label is organ, lesions within it included; None when nobody outlined it.
    lesions : classes 1…n as `class_names`.
    model : the model that made at least one mask; None when readers made them all.
    quality : numbers behind the flags; None where a number cannot be had.
    flags : sorted names of what a person should look at.
    probability_percent : the model's probability of any lesion in each voxel, in whole percent; None where a reader
        outlined the lesions, or the model gives none.
    seconds : how long each stage of the model took; told beside the result, never in it.
    """

    organ: Volume | None
    lesions: Volume
    class_names: Mapping[int, str]
    organ_source: Source
    lesion_source: Source
    model: ModelIdentity | None
    quality: Mapping[str, float | str | None]
    flags: tuple[str, ...]
    probability_percent: Volume | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


def segment_scan(
    volume: Volume,
    *,
    settings: SegmentationSettings,
    segmenter: Segmenter | None,
    organ_mask: Volume | None,
    lesion_mask: Volume | None,
) -> Segmentation:
    """Segment a scan.

    Parameters
    ----------
    volume : the scan.
    segmenter : the model; not called when both masks are given, and may then be None.
    organ_mask, lesion_mask : a reader's, on the scan's grid; they replace the model's.

    Raises
    ------
    SegmentationError
        Nobody outlines the lesions, a mask lies on another grid, a reader's label is not in the protocol, or the model
        refuses the scan.
    """
    _require_grid(volume, organ_mask, "organ mask")
    _require_grid(volume, lesion_mask, "lesion mask")
    if lesion_mask is None and segmenter is None:
        raise SegmentationError(
            "lesions", "neither a model nor a reader's mask", "one of them", "Name a model in the protocol."
        )
    needs_model = segmenter is not None and (organ_mask is None or lesion_mask is None)
    answer = segmenter(volume) if segmenter is not None and needs_model else None
    lesions = _reader_lesions(lesion_mask, settings) if lesion_mask is not None else _model_lesions(answer, settings)
    model_organ = _model_organ(answer, settings)
    organ = organ_mask if organ_mask is not None else model_organ
    masks = Masks(volume, organ, lesions, model_organ if organ_mask is not None else None)
    evidence = _evidence(answer, settings, lesions_are_the_models=lesion_mask is None)
    quality = measure_quality(masks, evidence)
    return Segmentation(
        organ=organ,
        lesions=lesions,
        class_names=settings.class_names,
        organ_source="reader" if organ_mask is not None else "model" if organ is not None else "none",
        lesion_source="reader" if lesion_mask is not None else "model",
        model=segmenter.identity if segmenter is not None and needs_model else None,
        quality=quality,
        flags=raise_flags(masks, quality, settings),
        probability_percent=answer.probability_percent if answer is not None and lesion_mask is None else None,
        seconds=answer.seconds if answer is not None else {},
    )


def _require_grid(volume: Volume, mask: Volume | None, name: str) -> None:
    if mask is None:
        return
    if mask.units is not Units.LABEL:
        raise SegmentationError(name, f"{mask.units} voxels", "labels")
    if not mask.same_grid(volume):
        raise GeometryError(
            name, f"a grid of shape {mask.shape}", f"the scan's grid of shape {volume.shape}", "Resave it on that grid."
        )


def _reader_lesions(mask: Volume, settings: SegmentationSettings) -> Volume:
    """A reader's labels as class numbers."""
    number = {name: label for label, name in settings.class_names.items()}
    known = settings.reader_lesion_labels
    for label in np.unique(mask.array).tolist():
        if label != 0 and label not in known:
            meaning = ", ".join(f"{key} {name}" for key, name in sorted(known.items()))
            raise SegmentationError(
                "lesion mask",
                f"label {label}",
                f"0 or one of the protocol's reader_lesion_labels ({meaning})",
                "Correct the mask, or name the label in the protocol.",
            )
    return _relabel(mask, {label: number[name] for label, name in known.items()})


def _model_lesions(answer: LabelMap | None, settings: SegmentationSettings) -> Volume:
    if answer is None:
        raise SegmentationError("lesions", "no answer of a model", "a model or a reader's mask")
    known = sorted(settings.lesion_labels)
    return _relabel(answer.labels, {label: number for number, label in enumerate(known, start=1)})


def _model_organ(answer: LabelMap | None, settings: SegmentationSettings) -> Volume | None:
    """The model's organ, lesions included; None when there is no model or it knows no organ."""
    if answer is None or not settings.organ_labels:
        return None
    return _relabel(answer.labels, dict.fromkeys([*settings.organ_labels, *settings.lesion_labels], 1))


def _relabel(mask: Volume, mapping: Mapping[int, int]) -> Volume:
    """Labels replaced by the mapping; others become 0."""
    renamed: NDArray[np.uint8] = np.zeros_like(mask.array, dtype=np.uint8)
    box = occupied_box(mask.array > 0)
    if box is not None:
        source, target = mask.array[box], renamed[box]
        for old, new in mapping.items():
            np.copyto(target, new, where=source == old)
    return mask.with_array(renamed, Units.LABEL)


def _evidence(
    answer: LabelMap | None, settings: SegmentationSettings, *, lesions_are_the_models: bool
) -> dict[str, float | str | None]:
    """What the model tells of itself; of its lesions only where they are the ones in use."""
    told = dict(answer.evidence) if answer is not None else {}
    if lesions_are_the_models:
        return told | {"lesion_probability": _lesion_confidence(answer, settings)}
    return {name: value for name, value in told.items() if not name.startswith("lesion_")}


def _lesion_confidence(answer: LabelMap | None, settings: SegmentationSettings) -> float | None:
    """Mean probability of the model over all voxels that it called lesion."""
    if answer is None:
        return None
    labels, told = answer.labels.array, answer.probability
    count = {label: int(np.count_nonzero(labels == label)) for label in settings.lesion_labels if label in told}
    voxels = sum(count.values())
    if voxels == 0:
        return None
    return float(sum(told[label] * number for label, number in count.items()) / voxels)
