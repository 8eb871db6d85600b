"""Simulated trials, each drawn, analysed and put down as a row for every arm that is compared."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trialscan.errors import StatisticsError
from trialscan.statistics.power.analysis import TrialAnalysis
from trialscan.statistics.power.design import PowerDesign
from trialscan.statistics.power.draw import Population
from trialscan.statistics.results import MixedModelResult, VisitCovariance

Array = NDArray[np.float64]
Scenario = Literal["null", "design"]
Status = Literal["ok", "fallback", "singular", "failed"]
_Numbers = tuple[float, float, float, float, float, float]
_NAN = float("nan")
_NO_NUMBERS: _Numbers = (_NAN, _NAN, _NAN, _NAN, _NAN, _NAN)
_STREAMS: dict[Scenario, int] = {"null": 0, "design": 1}


@dataclass(frozen=True)
class TrialRow:
    """What one simulated trial says of an arm against the reference arm.

    `status` is failed where the analysis gave no result (NaN in all numbers), fallback where a covariance after the
    first of the path was fitted, singular where a random-slope covariance lies on its boundary; `reason` says why.
    `completers` of the arm and of the comparator have the last visit.
    """

    scenario: Scenario
    trial: int
    arm: str
    comparator: str
    status: Status
    estimate: float
    se: float
    df: float
    p: float
    lower: float
    upper: float
    structure: str
    reason: str
    completers: int
    comparator_completers: int


def scenarios(design: PowerDesign) -> tuple[Scenario, ...]:
    """Trials without any effect, and those of the design unless it has none."""
    return ("null", "design") if any(np.any(design.effect(arm)) for arm in design.other_arms) else ("null",)


def simulate_trials(design: PowerDesign, scenario: Scenario, numbers: Iterable[int]) -> list[TrialRow]:
    """Draw and analyse the trials with these numbers; the rows do not depend on which others are drawn, or where."""
    population, analysis = Population.of(design), TrialAnalysis.of(design)
    rows = []
    with threadpool_limits(limits=1, user_api="blas"):
        for number in numbers:
            outcomes = population.trial(_STREAMS[scenario], number, effective=scenario == "design")
            rows += _analysed(analysis, outcomes, population.arm_of_patient, scenario, number)
    return rows


def _analysed(
    analysis: TrialAnalysis, outcomes: Array, arm_of_patient: NDArray[np.intp], scenario: Scenario, number: int
) -> list[TrialRow]:
    design = analysis.design
    stayed = ~np.isnan(outcomes[:, -1])
    completers = {name: int(np.sum(stayed[arm_of_patient == place])) for place, name in enumerate(design.arms)}

    def row(arm: str, status: Status, numbers: _Numbers, structure: str, reason: str) -> TrialRow:
        reference = design.reference_arm
        who = completers[arm], completers[reference]
        return TrialRow(scenario, number, arm, reference, status, *numbers, structure, reason, *who)

    try:
        result = analysis.fit(outcomes)
    except StatisticsError as error:
        return [row(arm, "failed", _NO_NUMBERS, "", str(error)) for arm in design.other_arms]
    status, structure, reason = _account(result)
    rows = []
    for arm, found in result.contrasts(analysis.weights).iterrows():
        numbers: _Numbers = found["estimate"], found["se"], found["df"], found["p"], found["lower"], found["upper"]
        if np.isfinite(numbers).all():
            rows.append(row(str(arm), status, numbers, structure, reason))
        else:
            why = f"no inference: standard error {found['se']:g} on {found['df']:g} degrees of freedom"
            rows.append(row(str(arm), "failed", _NO_NUMBERS, structure, why))
    return rows


def _account(result: MixedModelResult) -> tuple[Status, str, str]:
    """Status, covariance and reason of a fit."""
    if isinstance(result.covariance, VisitCovariance):
        given_up = result.convergence.fallback
        return "fallback" if given_up else "ok", result.covariance.structure, "; ".join(given_up)
    if result.convergence.singular:
        return "singular", "random_slope", "the covariance of intercept and slope lies on its boundary"
    return "ok", "random_slope", ""
