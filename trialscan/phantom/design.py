"""The design of a simulated trial: who is scanned when, and how the burden of each arm develops."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trialscan.study.design_file import read_design

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """Frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ArmDesign(Section):
    """One arm: how many patients, and the mean slope of log(1 + burden in ml) per day."""

    patients: Annotated[int, Field(ge=1, le=10000)]
    slope_per_day: Annotated[float, Field(ge=-0.2, le=0.2)]


class BurdenDesign(Section):
    """Random-slope model of log(1 + burden in ml): its mean at day 0 and standard deviations, all on that scale."""

    mean: Annotated[float, Field(gt=1.5, le=6.4)] = 4.3
    intercept_sd: NotNegative = 0.4
    slope_sd_per_day: NotNegative = 0.002
    visit_sd: NotNegative = 0.03


class LesionDesign(Section):
    """How many lesions a patient has at first, and how often they do more than grow or shrink."""

    count: Annotated[tuple[int, int], Field()] = (2, 5)
    new_share: Share = 0.25
    resolved_share: Share = 0.2
    merge_share: Share = 0.2
    split_share: Share = 0.15
    ground_glass_share: Share = 0.5
    mixed_share: Share = 0.35

    @model_validator(mode="after")
    def _orderly(self) -> Self:
        if not 1 <= self.count[0] <= self.count[1] <= 12:
            raise ValueError(f"count {list(self.count)}: expected two rising whole numbers within 1 … 12")
        if self.ground_glass_share + self.mixed_share > 1:
            raise ValueError("ground_glass_share and mixed_share add up to more than 1")
        return self


class ScanDesign(Section):
    """The scans: voxel edges, whether scanners differ from scan to scan, breathing and posture."""

    spacing_mm: tuple[Positive, Positive, Positive] = (2.5, 2.5, 2.5)
    scanner: Literal["same", "varied"] = "varied"
    breathing_sd: Annotated[float, Field(ge=0, le=0.6)] = 0.3
    rotation_sd_deg: Annotated[float, Field(ge=0, le=8)] = 1.5
    shift_sd_mm: Annotated[float, Field(ge=0, le=15)] = 4.0

    @model_validator(mode="after")
    def _resolvable(self) -> Self:
        if max(self.spacing_mm) > 6 or min(self.spacing_mm) < 0.6:
            raise ValueError(f"spacing_mm {list(self.spacing_mm)}: expected voxel edges within 0.6 … 6 mm")
        return self


class MissedVisit(Section):
    """A visit that a named patient does not attend."""

    patient: Name
    visit: Name


class CovariateDesign(Section):
    """What else the manifest says of a patient; none of it acts on the burden."""

    age_years: tuple[int, int] = (35, 82)
    female_share: Share = 0.45
    sites: Annotated[tuple[Name, ...], Field(min_length=1)] = ("S1", "S2")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not 18 <= self.age_years[0] <= self.age_years[1] <= 110:
            raise ValueError(f"age_years {list(self.age_years)}: expected two rising ages within 18 … 110")
        return self


class TrialDesign(Section):
    """A trial to simulate. `visits` maps each visit's name to its study day; `seed` decides everything random."""

    title: str = "Simulated trial"
    seed: Annotated[int, Field(ge=0)] = 0
    arms: Annotated[dict[Name, ArmDesign], Field(min_length=1)]
    visits: Annotated[dict[Name, int], Field(min_length=1)]
    burden: BurdenDesign = BurdenDesign()
    lesions: LesionDesign = LesionDesign()
    scans: ScanDesign = ScanDesign()
    covariates: CovariateDesign = CovariateDesign()
    drop_out_share: Share = 0.0
    missing_share: Share = 0.0
    missed: tuple[MissedVisit, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        days = list(self.visits.values())
        if days != sorted(set(days)):
            raise ValueError(f"visits: days {days} do not rise from visit to visit")
        known = set(self.patient_ids)
        for missed in self.missed:
            if missed.patient not in known or missed.visit not in self.visits:
                raise ValueError(f"missed: there is no patient {missed.patient} with a visit {missed.visit}")
        return self

    @property
    def patient_ids(self) -> tuple[str, ...]:
        """P001, P002, … over all arms."""
        return tuple(f"P{n:03d}" for n in range(1, 1 + sum(arm.patients for arm in self.arms.values())))


def load_design(path: Path) -> TrialDesign:
    """Read a design from YAML; raises InputError with every fault as `design.yaml:14:5: arms.active: …`."""
    return read_design(path, TrialDesign)
