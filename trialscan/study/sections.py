"""The sections of a protocol: what a trial decides before it sees its data.

Every default stands here once; `protocol.lock.yaml` writes them all out beside the results.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Label = Annotated[int, Field(ge=1, le=255)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Section(BaseModel):
    """Frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Modality(StrEnum):
    """DICOM's short names of the modalities served."""

    CT = "CT"
    MR = "MR"
    PET = "PET"
    XR = "XR"
    US = "US"


class StudySettings(Section):
    """What trial this is. `data_cutoff` dates every report."""

    id: Name
    title: str
    modality: Modality
    sponsor: str | None = None
    data_cutoff: date | None = None


class ScheduledVisit(Section):
    """A visit the protocol plans: its day and the days around it that still count."""

    visit: Name
    day: int
    window_days: tuple[int, int] = (0, 0)

    @model_validator(mode="after")
    def _window_holds_zero(self) -> Self:
        low, high = self.window_days
        if not low <= 0 <= high:
            raise ValueError(
                f"window_days is [{low}, {high}], expected days before (≤ 0) and after (≥ 0) the planned day"
            )
        return self


class VisitSettings(Section):
    """Which visit is the baseline ('first', or a visit's name) and when visits are due."""

    baseline: str = "first"
    schedule: tuple[ScheduledVisit, ...] = ()


class SegmentationLimits(Section):
    """Beyond these a scan is flagged; null switches a check off."""

    max_slice_thickness_mm: Positive | None = None
    min_organ_ml: Positive | None = None
    max_organ_ml: Positive | None = None
    max_outside_organ_percent: Percent | None = None
    max_voxels: Annotated[int, Field(gt=0)] | None = None


class SegmentationSettings(Section):
    """The model, its labels, a reader's labels, and what the intensities mean.

    `organ_labels` and `lesion_labels` are labels in the model's output; `reader_lesion_labels` those in a reader's
    lesion mask. A lesion inside the organ counts as organ when the burden is given in percent of it.
    """

    model: str | None = None
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    organ_name: str = "organ"
    organ_labels: tuple[Label, ...] = (1,)
    lesion_labels: dict[Label, Name] = Field(default_factory=lambda: {2: "lesion"})
    reader_lesion_labels: dict[Label, Name] = Field(default_factory=lambda: {1: "lesion"})
    units: Literal["HU", "SUV", "intensity"] = "intensity"
    intensity_range: tuple[float, float] | None = None
    limits: SegmentationLimits = SegmentationLimits()

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        if set(self.organ_labels) & set(self.lesion_labels):
            raise ValueError("organ_labels and lesion_labels share a label; each label means one thing")
        unknown = set(self.reader_lesion_labels.values()) - set(self.lesion_labels.values())
        if self.model is not None and unknown:
            raise ValueError(f"reader_lesion_labels name {sorted(unknown)}, which lesion_labels do not")
        if self.intensity_range is not None and self.intensity_range[0] >= self.intensity_range[1]:
            raise ValueError("intensity_range must rise, as in [-1024, 600]")
        return self

    @property
    def class_names(self) -> dict[int, str]:
        """Class number 1…n in every mask trialscan writes, and its name."""
        source = self.lesion_labels if self.model is not None else self.reader_lesion_labels
        return dict(enumerate((source[label] for label in sorted(source)), start=1))


class RegistrationLimits(Section):
    """An alignment outside these is flagged for review or failed."""

    min_organ_dice: Annotated[float, Field(ge=0, le=1)] = 0.9
    max_folding_percent: Percent = 0.5


class RegistrationSettings(Section):
    """How follow-ups are aligned to the baseline, and on what grid (mm) that is computed."""

    method: Literal["deformable", "affine", "rigid", "none"] = "deformable"
    engine: Literal["ants", "simpleitk"] = "simpleitk"
    spacing_mm: Positive = 2.5
    limits: RegistrationLimits = RegistrationLimits()


class LesionSettings(Section):
    """What counts as a lesion, which lesions are the same over time, and what counts as change."""

    minimum_ml: Annotated[float, Field(ge=0)] = 0.1
    minimum_pixels: Annotated[int, Field(ge=1)] = 25
    matching_tolerance_mm: Positive = 5.0
    repeatability_percent: Positive = 30.0


class Endpoint(Section):
    """A measure of scans.csv and the scale it is analysed on; log1p means log(1 + value in the measure's own unit)."""

    measure: Annotated[str, Field(pattern=r"^([a-z0-9_]+_(ml|percent)|lesion_count)$")]
    transform: Literal["log1p", "none"] = "log1p"


class EndpointSettings(Section):
    """The primary endpoint and any further ones."""

    primary: Endpoint
    secondary: tuple[Endpoint, ...] = ()


class AnalysisSettings(Section):
    """The statistical analysis plan."""

    model: Literal["random_slope"] = "random_slope"
    covariates: tuple[Name, ...] = ()
    reference_arm: str | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_patients_per_arm: Annotated[int, Field(ge=2)] = 3


class ReportSettings(Section):
    """How pictures are windowed (center, width in the scan's units; null takes the image's own range)."""

    window: tuple[float, Positive] | None = None
    notice: str = "Not for diagnosis."
