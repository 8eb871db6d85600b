"""Conditional-mean imputation with standard errors by the jackknife (White, Royes & Best 2020; Wolbers et al. 2022)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trialscan.statistics.imputation.ancova import VisitAncova
from trialscan.statistics.imputation.conditional import Courses, impute
from trialscan.statistics.imputation.model import ImputationModel, Parameters
from trialscan.statistics.imputation.pooled import Pooled
from trialscan.statistics.imputation.problem import Problem
from trialscan.statistics.imputation.strategies import course

Array = NDArray[np.float64]


@dataclass(frozen=True)
class JackknifeEstimates:
    """Estimates (k, m) with all patients, and `replicates` (n, k, m) without each in turn."""

    values: Array
    replicates: Array
    completed: Array
    ancova: VisitAncova

    def pooled(self) -> Pooled:
        """Standard errors √((n − 1)/n Σ (θ₋ᵢ − θ̄)²) and normal inference."""
        n = len(self.replicates)
        spread = self.replicates - self.replicates.mean(axis=0)
        se = np.sqrt((n - 1) / n * np.sum(spread**2, axis=0))
        return Pooled(self.values, se, np.full(se.shape, np.inf))

    def under(self, shift: Array) -> Callable[[float], Pooled]:
        """Exact for every delta without a refit: conditional means and least squares are linear in the shift."""
        slope = self.ancova.estimates(shift)
        slopes = np.stack(
            [
                self.ancova.without(index).estimates(np.delete(shift, index, axis=0))
                for index in range(len(self.replicates))
            ]
        )

        def at(delta: float) -> Pooled:
            moved = replace(self, values=self.values + delta * slope, replicates=self.replicates + delta * slopes)
            return moved.pooled()

        return at


def jackknife(
    problem: Problem, courses: Courses, model: ImputationModel, strategies: Sequence[str]
) -> dict[str, JackknifeEstimates]:
    """Each strategy's estimates, the imputation model refitted without every patient in turn.

    Raises
    ------
    StatisticsError : a refit that did not converge, naming the patient it was made without.
    """
    ancova = problem.ancova
    left: dict[str, list[Array]] = {name: [] for name in strategies}
    for index, patient in enumerate(problem.patients):
        parameters = model.without(patient)
        rest, analysis = courses.without(index), ancova.without(index)
        for name in strategies:
            left[name].append(analysis.estimates(_completed(rest, name, parameters)))
    out = {}
    for name in strategies:
        completed = _completed(courses, name, model.whole)
        out[name] = JackknifeEstimates(ancova.estimates(completed), np.stack(left[name]), completed, ancova)
    return out


def _completed(courses: Courses, strategy: str, parameters: Parameters) -> Array:
    return impute(courses.y, course(strategy, courses.marginal(parameters.beta)), parameters.S)
