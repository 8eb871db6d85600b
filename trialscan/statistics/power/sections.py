"""Parts of a power design that stand alone: who drops out, and how exactly a scan is measured."""

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import stats

Array = NDArray[np.float64]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Hazard = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DropOut(Section):
    """Patients who leave and do not come back; everyone has the first visit.

    `share` is lost by the last visit, at the same hazard before each visit, or `hazards` are those before the second
    and each later visit. They hold for a patient whose last value is the reference arm's mean; each standard deviation
    above it multiplies the odds by `odds_ratio_per_sd` (1: missing completely at random, else at random).
    """

    share: Hazard = 0.0
    hazards: tuple[Hazard, ...] | None = None
    odds_ratio_per_sd: Positive = 1.0

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.hazards is not None and self.share:
            raise ValueError("both share and hazards; give one of the two")
        return self

    def hazards_over(self, visits: int) -> Array:
        """The hazards before the second and each later visit (visits − 1,); ValueError for a wrong number of them."""
        if self.hazards is None:
            return np.full(visits - 1, 1 - (1 - self.share) ** (1 / (visits - 1)))
        if len(self.hazards) != visits - 1:
            raise ValueError(f"drop_out.hazards: {len(self.hazards)} numbers for {visits - 1} visits after the first")
        return np.array(self.hazards, dtype=np.float64)


class Measurement(Section):
    """The error with which the segmentation measures a value, new at every visit, on the scale of the analysis.

    `repeatability_percent` r is for values on a log scale: the change that 95 % of repeated measurements stay within,
    ln(1 + r/100) = 1.96 √2 sd (Bland & Altman 1999); it is what a protocol's `lesions.repeatability_percent` says.
    """

    sd: NotNegative = 0.0
    repeatability_percent: NotNegative = 0.0

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.sd and self.repeatability_percent:
            raise ValueError("both sd and repeatability_percent; give one of the two")
        return self

    @property
    def standard_deviation(self) -> float:
        """Of the error, on the scale of the analysis."""
        if self.repeatability_percent:
            return float(np.log1p(self.repeatability_percent / 100) / (stats.norm.ppf(0.975) * np.sqrt(2)))
        return self.sd
