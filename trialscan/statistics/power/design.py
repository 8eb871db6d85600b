"""The design of a trial whose power is asked: arms, visits, covariance, drop-out, measurement error and analysis."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trialscan.statistics.covariance import STRUCTURES
from trialscan.statistics.inference import DF_METHODS
from trialscan.statistics.mmrm import FALLBACK
from trialscan.statistics.power.covariance import CovarianceDesign, visit_covariance
from trialscan.statistics.power.sections import DropOut, Measurement, Name, Section

Array = NDArray[np.float64]
Target = Literal["last_visit", "slope"]


class PowerArm(Section):
    """One arm: how many patients, and how far its mean lies from the reference arm's.

    `effect` is that difference at each visit; `effect_per_day` one that grows from the first visit on.
    """

    patients: Annotated[int, Field(ge=2, le=10000)]
    effect: tuple[float, ...] | None = None
    effect_per_day: float = 0.0

    @model_validator(mode="after")
    def _one_effect(self) -> Self:
        if self.effect is not None and self.effect_per_day:
            raise ValueError("both effect and effect_per_day; give one of the two")
        return self


class PowerAnalysis(Section):
    """How each simulated trial is analysed, as `fit_mmrm` and `fit_random_slope` take it.

    With `baseline` the first visit's value is the baseline: the MMRM is then change ~ arm × visit + baseline × visit
    over the later visits, as in the comparison of arms, else value ~ arm × visit over all. The random-slope model is
    value ~ arm × day. `contrast` is the difference from the reference arm that is tested.
    """

    model: Literal["mmrm", "random_slope"] = "mmrm"
    baseline: bool = False
    covariance: Annotated[tuple[str, ...], Field(min_length=1)] = FALLBACK
    df: str = DF_METHODS[0]
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    contrast: Target = "last_visit"

    @model_validator(mode="after")
    def _offered(self) -> Self:
        if unknown := [name for name in self.covariance if name not in STRUCTURES]:
            raise ValueError(f"covariance {', '.join(unknown)}: expected some of {', '.join(STRUCTURES)}")
        if self.df not in DF_METHODS:
            raise ValueError(f"df {self.df!r}: expected one of {', '.join(DF_METHODS)}")
        if self.model == "random_slope" and self.baseline:
            raise ValueError("baseline: the random-slope model takes the first visit as one of its outcomes")
        return self


class PowerDesign(Section):
    """A trial to simulate many times. `visits` maps each visit's name to its study day; `seed` decides all draws.

    `mean` is the reference arm's mean at each visit (zero where it is not given), `reference` that arm (None: the first
    by name). Values are on the scale of the analysis.
    """

    title: str = "Power of a trial"
    seed: Annotated[int, Field(ge=0)] = 0
    simulations: Annotated[int, Field(ge=2, le=1_000_000)] = 1000
    arms: Annotated[dict[Name, PowerArm], Field(min_length=2)]
    reference: Name | None = None
    visits: Annotated[dict[Name, int], Field(min_length=2, max_length=50)]
    mean: tuple[float, ...] | None = None
    covariance: CovarianceDesign
    drop_out: DropOut = DropOut()
    measurement: Measurement = Measurement()
    analysis: PowerAnalysis = PowerAnalysis()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_visits()
        self._check_arms()
        S = visit_covariance(self.covariance, np.array(self.days, dtype=np.float64))
        if np.linalg.eigvalsh(S)[0] <= 0:
            raise ValueError("covariance: not positive definite at these visits")
        self.drop_out.hazards_over(len(self.visits))
        return self

    def _check_visits(self) -> None:
        if list(self.days) != sorted(set(self.days)):
            raise ValueError(f"visits: days {list(self.days)} do not rise from visit to visit")
        least = 3 if self.analysis.baseline or self.analysis.model == "random_slope" else 2
        if len(self.days) < least:
            raise ValueError(f"visits: {len(self.days)}; this analysis takes {least} or more")
        if self.mean is not None:
            self._check_length("mean", self.mean)

    def _check_arms(self) -> None:
        if self.reference is not None and self.reference not in self.arms:
            raise ValueError(f"reference: no arm {self.reference!r}; expected one of {', '.join(self.arms)}")
        for name, arm in self.arms.items():
            if arm.effect is not None:
                self._check_length(f"arms.{name}.effect", arm.effect)
            if name == self.reference_arm and np.any(self.effect(name)):
                raise ValueError(f"arms.{name}: the reference arm differs from itself; put effects in the other arms")
            if self.analysis.baseline and self.effect(name)[0]:
                raise ValueError(f"arms.{name}: an effect at the baseline visit, where arms are alike")

    def _check_length(self, field: str, values: tuple[float, ...]) -> None:
        if len(values) != len(self.visits):
            raise ValueError(f"{field}: {len(values)} numbers for {len(self.visits)} visits")

    @property
    def days(self) -> tuple[int, ...]:
        """The visits' study days."""
        return tuple(self.visits.values())

    @property
    def reference_arm(self) -> str:
        """The arm the others are compared with."""
        return self.reference or min(self.arms)

    @property
    def other_arms(self) -> tuple[str, ...]:
        """The arms that are compared with it, in the design's order."""
        return tuple(name for name in self.arms if name != self.reference_arm)

    @property
    def reference_mean(self) -> Array:
        """The reference arm's mean at each visit (m,)."""
        return np.zeros(len(self.visits)) if self.mean is None else np.array(self.mean, dtype=np.float64)

    def effect(self, arm: str) -> Array:
        """An arm's difference from the reference arm at each visit (m,)."""
        given = self.arms[arm]
        if given.effect is not None:
            return np.array(given.effect, dtype=np.float64)
        days = np.array(self.days, dtype=np.float64)
        return np.asarray(given.effect_per_day * (days - days[0]))
