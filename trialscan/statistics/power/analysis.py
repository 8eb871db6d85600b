"""The analysis of a simulated trial by the engine itself; what all trials of a design share is made once."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.statistics.design import Design, build_design
from trialscan.statistics.mmrm.design import VisitDesign, build_visit_design
from trialscan.statistics.mmrm.fit import MmrmOptions, fit_visit_design
from trialscan.statistics.power.design import PowerDesign
from trialscan.statistics.random_slope import fit_slope_design
from trialscan.statistics.results import MixedModelResult

Array = NDArray[np.float64]
PATIENT, VISIT, DAY, ARM, BASELINE, VALUE = "patient", "visit", "day", "arm", "baseline", "value"


@dataclass(frozen=True)
class TrialAnalysis:
    """The model of a design's trials, and the combinations of its coefficients that compare the arms.

    `template` is the model's design without drop-out; its matrix is `fixed` + `per_baseline` · baseline (N, p).
    `weights` name each compared arm's combination (p,), and `truth` the value that it has in the population.
    """

    design: PowerDesign
    template: VisitDesign | Design
    fixed: Array
    per_baseline: Array
    weights: dict[str, Array]
    truth: dict[str, float]

    @classmethod
    def of(cls, design: PowerDesign) -> "TrialAnalysis":
        """The analysis that a design asks for."""
        frame = _frame(design, _any_outcomes(design))
        template = _template(design, frame)
        fixed, risen = (template.matrix(template.frame.assign(**{BASELINE: at})) for at in (0.0, 1.0))
        over_time = _over_time(design)
        weights, truth = {}, {}
        for arm in design.other_arms:
            weights[arm] = over_time @ _apart(design, template, arm)
            truth[arm] = float(over_time @ design.effect(arm)[_first(design) :])
        return cls(design, template, fixed, risen - fixed, weights, truth)

    def fit(self, outcomes: Array) -> MixedModelResult:
        """The engine's fit of outcomes (n, m), NaN where missing; raises StatisticsError as it does."""
        analysis = self.design.analysis
        first = _first(self.design)
        baseline = np.repeat(outcomes[:, 0], outcomes.shape[1] - first)
        values = (outcomes[:, first:] - (outcomes[:, :1] if first else 0.0)).ravel()
        frame = self.template.frame.assign(**{VALUE: values})
        X = self.fixed
        if first:
            frame, X = frame.assign(**{BASELINE: baseline}), X + self.per_baseline * baseline[:, None]
        drawn = self.template.refilled(X, values, frame)
        if isinstance(drawn, Design):
            return fit_slope_design(drawn, patient=PATIENT, time=DAY, df=analysis.df, alpha=analysis.alpha)
        options = MmrmOptions(covariance=analysis.covariance, df=analysis.df, alpha=analysis.alpha)
        return fit_visit_design(drawn, options, patient=PATIENT, visit=VISIT)

    def table(self, outcomes: Array) -> pd.DataFrame:
        """Outcomes (n, m) as the long table that `fit_mmrm` and `fit_random_slope` take, with `formula`."""
        return _frame(self.design, outcomes)

    @property
    def formula(self) -> str:
        """The model in words of formulaic."""
        return _formula(self.design)


def _formula(design: PowerDesign) -> str:
    if design.analysis.model == "random_slope":
        return f"{VALUE} ~ {ARM} * {DAY}"
    return f"{VALUE} ~ {ARM} * {VISIT}" + (f" + {BASELINE} * {VISIT}" if design.analysis.baseline else "")


def _first(design: PowerDesign) -> int:
    """The place of the first visit that is an outcome of the model."""
    return int(design.analysis.baseline)


def _template(design: PowerDesign, frame: pd.DataFrame) -> VisitDesign | Design:
    if design.analysis.model == "random_slope":
        return build_design(frame, _formula(design), patient=PATIENT, time=DAY)
    return build_visit_design(frame, _formula(design), patient=PATIENT, visit=VISIT)


def _any_outcomes(design: PowerDesign) -> Array:
    """Outcomes that vary, from which only the shape of the model is read."""
    n = sum(arm.patients for arm in design.arms.values())
    return np.random.default_rng(0).standard_normal((n, len(design.visits)))


def _frame(design: PowerDesign, outcomes: Array) -> pd.DataFrame:
    """A row a patient and visit of the model; with a baseline the value is the change from it."""
    first = _first(design)
    n, m = outcomes.shape[0], outcomes.shape[1] - first
    arms = [design.reference_arm, *design.other_arms]
    of_patient = np.repeat(list(design.arms), [arm.patients for arm in design.arms.values()])
    visits = list(design.visits)[first:]
    frame = pd.DataFrame(
        {
            PATIENT: np.repeat([f"P{number:05d}" for number in range(1, n + 1)], m),
            ARM: pd.Categorical(np.repeat(of_patient, m), categories=arms),
            VISIT: pd.Categorical(visits * n, categories=visits, ordered=True),
            DAY: np.tile(np.array(design.days[first:], dtype=np.float64), n),
            VALUE: outcomes[:, first:].ravel(),
        }
    )
    if first:
        frame[BASELINE] = np.repeat(outcomes[:, 0], m)
        frame[VALUE] -= frame[BASELINE]
    return frame


def _over_time(design: PowerDesign) -> Array:
    """Weights of the visits: the last alone, or those of the least-squares slope over their days."""
    days = np.array(design.days[_first(design) :], dtype=np.float64)
    if design.analysis.contrast == "last_visit":
        return np.asarray(np.arange(len(days)) == len(days) - 1, dtype=np.float64)
    around = days - np.mean(days)
    return np.asarray(around / np.sum(around**2))


def _apart(design: PowerDesign, template: VisitDesign | Design, arm: str) -> Array:
    """The model's rows of an arm less those of the reference arm, (visits, p)."""
    visits = list(design.visits)[_first(design) :]
    rows = pd.DataFrame(
        {VISIT: pd.Categorical(visits, categories=visits, ordered=True), DAY: design.days[_first(design) :]}
    ).assign(**{BASELINE: 0.0})
    arms = [design.reference_arm, *design.other_arms]
    own, reference = (
        template.matrix(rows.assign(**{ARM: pd.Categorical([name] * len(rows), categories=arms)}))
        for name in (arm, design.reference_arm)
    )
    return np.asarray(own - reference)
