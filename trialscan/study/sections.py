"""The sections of a protocol: what a trial decides before it sees its data.

Every default stands here once; `protocol.lock.yaml` writes them all out beside the results.
"""

from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from trialscan.study.conflicts import (
    Conflict,
    ConflictError,
    distinct_columns,
    distinct_covariates,
    distinct_labels,
    distinct_names,
    rising_pair,
    window_around_zero,
)
from trialscan.study.further_sections import (
    CountSettings,
    EventSettings,
    MultiplicitySettings,
    ResponderSettings,
    SubgroupSettings,
)
from trialscan.study.missing_data import EstimandSettings, MissingDataSettings
from trialscan.study.repeatability import RepeatabilityBand, band_conflicts
from trialscan.study.section import Measure, Name, Percent, Positive, Section, Text, Transform

Label = Annotated[int, Field(ge=1, le=255)]
ClassName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Mirroring = Literal["none", "check", "average"]

RESERVED_CLASS_NAMES = frozenset({"burden", "organ", "burden_lower", "burden_upper"})


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
    title: Text
    modality: Modality
    sponsor: Text | None = None
    data_cutoff: date | None = None


class ScheduledVisit(Section):
    """A visit the protocol plans: its day and the days around it that still count."""

    visit: Name
    day: Annotated[int, Field(ge=-36525, le=36525)]
    window_days: Annotated[tuple[int, int], AfterValidator(window_around_zero)] = (0, 0)


def _in_order(schedule: tuple[ScheduledVisit, ...]) -> tuple[ScheduledVisit, ...]:
    found = []
    for index, entry in enumerate(schedule[1:], start=1):
        before = schedule[index - 1]
        if entry.visit in {earlier.visit for earlier in schedule[:index]}:
            found.append(
                Conflict((str(index), "visit"), f"visit {entry.visit!r} is scheduled twice; name each visit once")
            )
        if entry.day <= before.day:
            text = f"day {entry.day} follows day {before.day} of visit {before.visit!r}; expected rising days"
            found.append(Conflict((str(index), "day"), text))
    if found:
        raise ConflictError(found)
    return schedule


class VisitSettings(Section):
    """Which visit is the baseline ('first', or a visit's name) and when visits are due."""

    baseline: Name = "first"
    schedule: Annotated[tuple[ScheduledVisit, ...], AfterValidator(_in_order)] = ()

    def conflicts(self) -> Iterator[Conflict]:
        """A baseline that the schedule does not know."""
        planned = [entry.visit for entry in self.schedule]
        if planned and self.baseline != "first" and self.baseline not in planned:
            text = f"{self.baseline!r} is not in the schedule; expected 'first' or one of {', '.join(planned)}"
            yield Conflict(("baseline",), text)


class SegmentationLimits(Section):
    """Beyond these a scan is flagged; null switches a check off.

    `min_mirror_dice` is the least agreement of the plain and the mirrored pass; `max_outlier_ratio` how far a scan's
    features may lie from the training scans', 1 being beyond 19 of 20 of these. `max_organ_change_percent` and
    `max_burden_change_points` (percent points of the organ) hold between a visit and the one before.
    """

    max_slice_thickness_mm: Positive | None = None
    min_organ_ml: Positive | None = None
    max_organ_ml: Positive | None = None
    max_outside_organ_percent: Percent | None = None
    max_voxels: Annotated[int, Field(gt=0)] | None = None
    min_mirror_dice: Annotated[float, Field(ge=0, le=1)] | None = None
    max_outlier_ratio: Positive | None = None
    max_organ_change_percent: Positive | None = None
    max_burden_change_points: Percent | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """An organ range that holds no volume."""
        if self.min_organ_ml is not None and self.max_organ_ml is not None and self.min_organ_ml >= self.max_organ_ml:
            yield Conflict(("max_organ_ml",), f"{self.max_organ_ml} is not above min_organ_ml {self.min_organ_ml}")


class SegmentationSettings(Section):
    """The model, its labels, a reader's labels, and what the intensities mean.

    `organ_labels` and `lesion_labels` are labels in the model's output; `reader_lesion_labels` those in a reader's
    lesion mask. Several labels may carry one name and are then one class. A lesion inside the organ counts as organ
    when the burden is given in percent of it. `weights_sha256` pins a trialscan bundle's weights, `bundle_sha256` all
    that decides any model's answer. `mirroring`: `check` has the model look at each scan a second time through a
    mirror and tells how well both agree, `average` also takes the mean of both.
    """

    model: Name | None = None
    weights_sha256: Sha256 | None = None
    bundle_sha256: Sha256 | None = None
    mirroring: Mirroring = "none"
    organ_name: Text = "organ"
    organ_labels: Annotated[tuple[Label, ...], AfterValidator(distinct_labels)] = (1,)
    lesion_labels: Annotated[dict[Label, ClassName], Field(min_length=1)] = Field(default_factory=lambda: {2: "lesion"})
    reader_lesion_labels: Annotated[dict[Label, ClassName], Field(min_length=1)] = Field(
        default_factory=lambda: {1: "lesion"}
    )
    units: Literal["HU", "SUV", "intensity"] = "intensity"
    intensity_range: Annotated[tuple[float, float], AfterValidator(rising_pair)] | None = None
    limits: SegmentationLimits = SegmentationLimits()

    def conflicts(self) -> Iterator[Conflict]:
        """Labels that mean two things, classes the model does not know, and what only a model has without one."""
        for field, labels in (
            ("lesion_labels", self.lesion_labels),
            ("reader_lesion_labels", self.reader_lesion_labels),
        ):
            for label, name in labels.items():
                if name in RESERVED_CLASS_NAMES:
                    text = f"a class may not be called {name!r}, because {name}_ml is a column of its own"
                    yield Conflict((field, str(label)), text)
        yield from self._without_model() if self.model is None else self._with_model()

    def _without_model(self) -> Iterator[Conflict]:
        for field in ("weights_sha256", "bundle_sha256"):
            if getattr(self, field) is not None:
                yield Conflict((field,), "pins a model, but model is null")

    def _with_model(self) -> Iterator[Conflict]:
        if self.limits.min_mirror_dice is not None and self.mirroring == "none":
            yield Conflict(("limits", "min_mirror_dice"), "limits a mirrored pass, but mirroring is none")
        for label in sorted(set(self.organ_labels) & set(self.lesion_labels)):
            yield Conflict(
                ("lesion_labels", str(label)), f"label {label} is in organ_labels too; a label means one thing"
            )
        known = sorted(set(self.lesion_labels.values()))
        for label, name in self.reader_lesion_labels.items():
            if name not in known:
                text = f"{name!r} is not a class of the model; expected one of {', '.join(known)}"
                yield Conflict(("reader_lesion_labels", str(label)), text)

    @property
    def class_names(self) -> dict[int, str]:
        """Class number 1…n in every mask trialscan writes, and its name; names are unique, ordered by first label."""
        source = self.lesion_labels if self.model is not None else self.reader_lesion_labels
        unique = dict.fromkeys(source[label] for label in sorted(source))
        return dict(enumerate(unique, start=1))


class RegistrationLimits(Section):
    """An alignment outside these is flagged for review or failed.

    `min_organ_dice_linear` holds for alignments that end before a deformation, null: `min_organ_dice`. Scans below
    `min_local_correlation` whose details do not meet are taken for two patients'; null: see docs/registration.md.
    """

    min_organ_dice: Annotated[float, Field(ge=0, le=1)] = 0.9
    min_organ_dice_linear: Annotated[float, Field(ge=0, le=1)] | None = None
    min_local_correlation: Annotated[float, Field(ge=0, le=1)] | None = None
    max_folding_percent: Percent = 0.5


class RegistrationSettings(Section):
    """How follow-ups are aligned to the baseline, and on what grid (mm) that is computed.

    `max_stretch_percent` lets a rigid alignment follow scanners whose millimetres differ by up to so much; 0: not so.
    `check_backwards` aligns the baseline to the follow-up too and measures how far both alignments disagree.
    """

    method: Literal["deformable", "affine", "rigid", "none"] = "deformable"
    engine: Literal["ants", "simpleitk", "torch"] = "simpleitk"
    spacing_mm: Positive = 2.0
    max_stretch_percent: Annotated[float, Field(ge=0, le=10)] = 0.0
    check_backwards: bool = False
    limits: RegistrationLimits = RegistrationLimits()


class LesionSettings(Section):
    """What counts as a lesion, which lesions are the same over time, and what counts as change.

    `repeatability` is the measurement error by size and slice thickness, `repeatability_common` the share of its
    variance that all lesions of a scan have in common. Where there is no table, or no row of it for images without
    millilitres, `repeatability_percent` is the change that 95 % of repeated measurements stay within, twice that on the
    log scale for lesions under three times the minimum.
    """

    minimum_ml: Annotated[float, Field(ge=0)] = 0.1
    minimum_pixels: Annotated[int, Field(ge=1)] = 25
    matching_tolerance_mm: Positive = 5.0
    repeatability_percent: Positive = 30.0
    repeatability: tuple[RepeatabilityBand, ...] = ()
    repeatability_common: Annotated[float, Field(ge=0, le=1)] = 0.0

    def conflicts(self) -> Iterator[Conflict]:
        """Two rows for the same lesions."""
        for conflict in band_conflicts(self.repeatability):
            yield Conflict(("repeatability", *conflict.path), conflict.message)


class Endpoint(Section):
    """A measure of scans.csv and the scale it is analysed on; log1p means log(1 + value in the measure's own unit)."""

    measure: Measure
    transform: Transform = "log1p"


class EndpointSettings(Section):
    """The primary endpoint and any further ones."""

    primary: Endpoint
    secondary: tuple[Endpoint, ...] = ()

    def conflicts(self) -> Iterator[Conflict]:
        """An endpoint that is asked for twice."""
        seen = [self.primary]
        for index, endpoint in enumerate(self.secondary):
            if endpoint in seen:
                text = f"{endpoint.measure} with transform {endpoint.transform} is already an endpoint"
                yield Conflict(("secondary", str(index)), text)
            seen.append(endpoint)


Covariance = Literal["us", "toeph", "toep", "ar1h", "ar1", "csh", "cs", "adh", "ad"]


class AnalysisSettings(Section):
    """The statistical analysis plan; `reference_arm` null means the first arm in alphabetical order.

    `covariance` is the MMRM's: the first structure that can be fitted is taken, for each arm its own where
    `covariance_by_arm`; `sandwich` replaces the MMRM's standard errors and `df`. `information` null means observed, and
    for a random slope by Kenward–Roger or on its boundary expected. `ancova` names the visits with an
    analysis of covariance; null means all beside random slopes, and none beside an MMRM.
    """

    model: Literal["random_slope", "mmrm"] = "random_slope"
    covariance: Annotated[tuple[Covariance, ...], Field(min_length=1)] = ("us", "toeph", "ar1h", "csh", "cs")
    covariance_by_arm: bool = False
    df: Literal["kenward-roger", "kenward-roger-linear", "satterthwaite", "residual", "asymptotic"] = "kenward-roger"
    information: Literal["observed", "expected"] | None = None
    sandwich: Literal["CR0", "CR2", "CR3"] | None = None
    covariates: Annotated[tuple[Name, ...], AfterValidator(distinct_covariates)] = ()
    reference_arm: Text | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_patients_per_arm: Annotated[int, Field(ge=2)] = 3
    ancova: tuple[Name, ...] | None = None
    responders: Annotated[tuple[ResponderSettings, ...], AfterValidator(distinct_names)] = ()
    counts: Annotated[tuple[CountSettings, ...], AfterValidator(distinct_names)] = ()
    events: Annotated[tuple[EventSettings, ...], AfterValidator(distinct_names)] = ()
    subgroups: Annotated[tuple[SubgroupSettings, ...], AfterValidator(distinct_columns)] = ()
    multiplicity: MultiplicitySettings = MultiplicitySettings()
    estimand: EstimandSettings = EstimandSettings()
    missing_data: MissingDataSettings = MissingDataSettings()

    @property
    def manifest_columns(self) -> tuple[str, ...]:
        """The columns of the manifest that the analysis reads: covariates and subgroups."""
        return tuple(dict.fromkeys((*self.covariates, *(subgroup.column for subgroup in self.subgroups))))

    def conflicts(self) -> Iterator[Conflict]:
        """What an MMRM alone has without one; a column that is both a covariate and the day of an event."""
        for name in ("covariance_by_arm", "sandwich"):
            if getattr(self, name) and self.model != "mmrm":
                yield Conflict((name,), f"set, but the model is {self.model}; only an MMRM has it")
        for index, event in enumerate(self.estimand.intercurrent_events):
            if event.event_day is not None and event.event_day in self.manifest_columns:
                where = ("estimand", "intercurrent_events", str(index), "event_day")
                yield Conflict(where, f"{event.event_day!r} is a covariate too; a column means one thing")


class ReportSettings(Section):
    """How pictures are windowed (center, width in the scan's units; null takes the image's own range)."""

    window: tuple[float, Positive] | None = None
    notice: Text = "Not for diagnosis."
