"""Simulated trials, each drawn, analysed and put down as a row for every arm that is compared."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
    blank = [
        TrialRow(
            *(scenario, number, arm, design.reference_arm, "failed"),
            *(float("nan"),) * 6,
            *("", "", completers[arm], completers[design.reference_arm]),
        )
        for arm in design.other_arms
    ]
    try:
        result = analysis.fit(outcomes)
    except StatisticsError as error:
        return [replace(row, reason=str(error)) for row in blank]
    status, structure, reason = _account(result)
    table = result.contrasts(analysis.weights)
    rows = []
    for row, (_, found) in zip(blank, table.iterrows(), strict=True):
        numbers = {name: float(found[name]) for name in ("estimate", "se", "df", "p", "lower", "upper")}
        if not np.isfinite(list(numbers.values())).all():
            rows.append(replace(row, reason=f"no inference: standard error {found['se']:g}, df {found['df']:g}"))
        else:
            rows.append(replace(row, status=status, structure=structure, reason=reason, **numbers))
    return rows


def _account(result: MixedModelResult) -> tuple[Status, str, str]:
    """Status, covariance and reason of a fit."""
    if isinstance(result.covariance, VisitCovariance):
        given_up = result.convergence.fallback
        return "fallback" if given_up else "ok", result.covariance.structure, "; ".join(given_up)
    if result.convergence.singular:
        return "singular", "random_slope", "the covariance of intercept and slope lies on its boundary"
    return "ok", "random_slope", ""
