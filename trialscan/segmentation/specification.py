"""What a bundle's `metadata.json` says of the model: checked once, frozen after."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trialscan.errors import SegmentationError
from trialscan.study.sections import Sha256

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class ModelSpecification(BaseModel):
    """How scans are prepared for the model and how its answer is read.

    kind : `volume` for 3-D scans on a grid of `spacing_mm`; `planar` for single images whose longer side becomes
        `planar_size` pixels.
    grey_levels : those of planar images are equalised, or stretched between their 0.5th and 99.5th percentiles.
    intensity_range : values of volumes are limited to it and scaled to -1 … 1; HU of planar images are limited to it.
    window : voxels of the sliding window; windows share the `overlap` fraction of their length.
    min_component_share : pieces of foreground smaller than this share of the largest piece are dropped.
    lesion_labels, min_lesion_peak : lesions in which the probability of these labels together nowhere reaches the peak
        are dropped.
    features_sha256 : digest of the training scans' features, where the bundle holds them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["volume", "planar"]
    labels: dict[int, str]
    units: Literal["HU", "SUV", "intensity"]
    spacing_mm: tuple[Positive, Positive, Positive] | None = None
    planar_size: Count | None = None
    grey_levels: Literal["equalise", "stretch"] = "equalise"
    intensity_range: tuple[float, float] | None = None
    window: tuple[Count, ...]
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    min_component_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    lesion_labels: tuple[Count, ...] = ()
    min_lesion_peak: Annotated[float, Field(ge=0, le=1)] = 0.0
    weights_sha256: Sha256
    features_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "volume" and (self.spacing_mm is None or self.intensity_range is None or len(self.window) != 3):
            raise ValueError("a volume model needs spacing_mm, intensity_range and a window of three lengths")
        if self.kind == "planar" and (self.planar_size is None or len(self.window) != 2):
            raise ValueError("a planar model needs planar_size and a window of two lengths")
        if self.intensity_range is not None and self.intensity_range[0] >= self.intensity_range[1]:
            raise ValueError("intensity_range must rise")
        if sorted(self.labels) != list(range(len(self.labels))) or len(self.labels) < 2:
            raise ValueError("labels must be 0 (background), 1, 2, …")
        if not set(self.lesion_labels) <= set(self.labels):
            raise ValueError("lesion_labels must be among the labels")
        return self


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a bundle; raises SegmentationError when it is absent, damaged or no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SegmentationError(
            f"{path.parent.parent.name}/{path.parent.name}/{path.name}",
            f"cannot be read ({error.strerror})",
            "a model bundle: configs/metadata.json, configs/inference.json, models/model.safetensors",
        ) from error
    except ValueError as error:
        raise SegmentationError(path.name, f"no JSON: {error}", "a JSON object", "Restore the bundle.") from error
    if not isinstance(content, dict):
        raise SegmentationError(path.name, f"a {type(content).__name__}", "a JSON object", "Restore the bundle.")
    return content


def read_specification(metadata: dict[str, Any], where: str) -> ModelSpecification:
    """The `trialscan` section of a bundle's metadata; raises SegmentationError naming every fault."""
    try:
        return ModelSpecification.model_validate(metadata.get("trialscan"))
    except ValidationError as error:
        faults = "; ".join(f"trialscan.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SegmentationError(
            where, faults, "the preprocessing that the model was trained with", "Use a bundle made by trialscan."
        ) from error
