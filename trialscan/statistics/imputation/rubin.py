"""Multiple imputation by random draws, combined by Rubin's rules.

Approximate Bayesian draws of the imputation model: for every imputation patients are drawn with replacement within
their arm and the model is refitted by REML (Little & Rubin 2002, section 10.2.3; `method_approxbayes` of R's rbmi).
Missing outcomes are then drawn from their normal distribution given what was observed, and each completed data set is
analysed by itself. All strategies share the drawn patients and the standard normal deviates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.imputation.ancova import VisitAncova
from trialscan.statistics.imputation.conditional import Courses, impute
from trialscan.statistics.imputation.model import ImputationModel, Parameters
from trialscan.statistics.imputation.pooled import Pooled
from trialscan.statistics.imputation.problem import Problem
from trialscan.statistics.imputation.strategies import course

Array = NDArray[np.float64]
MAX_REDRAWN = 0.1


@dataclass(frozen=True)
class RubinEstimates:
    """Completed outcomes of every imputation, `draws` (M, n, m), and their analysis."""

    draws: Array
    ancova: VisitAncova

    @property
    def completed(self) -> Array:
        """Means over the imputations (n, m)."""
        return np.asarray(self.draws.mean(axis=0))

    def pooled(self) -> Pooled:
        """By Rubin's rules."""
        imputations, n, m = self.draws.shape
        wide = self.draws.transpose(1, 0, 2).reshape(n, imputations * m)
        estimates, variances = (
            each.reshape(-1, imputations, m).transpose(1, 0, 2)
            for each in (self.ancova.estimates(wide), self.ancova.variances(wide))
        )
        return combine(estimates, variances, self.ancova.df)

    def under(self, shift: Array) -> Callable[[float], Pooled]:
        """Every imputation shifted and analysed anew."""
        return lambda delta: RubinEstimates(self.draws + delta * shift, self.ancova).pooled()


def combine(estimates: Array, variances: Array, complete_df: float) -> Pooled:
    """Rubin's rules (1987) over the first axis, with the degrees of freedom of Barnard & Rubin (1999).

    T = W + (1 + 1/M) B with W the mean variance and B the variance of the estimates (M, …). With λ = (1 + 1/M) B / T
    and ν_com = `complete_df`, 1/ν = λ²/(M − 1) + 1/{(1 − λ) ν_com (ν_com + 1)/(ν_com + 3)}.
    """
    M = len(estimates)
    between = (1 + 1 / M) * np.var(estimates, axis=0, ddof=1)
    total = variances.mean(axis=0) + between
    missing = between / total
    observed_df = (1 - missing) * complete_df * (complete_df + 1) / (complete_df + 3)
    df = 1 / (missing**2 / (M - 1) + 1 / observed_df)
    return Pooled(estimates.mean(axis=0), np.sqrt(total), df)


def multiple_imputation(
    problem: Problem,
    courses: Courses,
    model: ImputationModel,
    strategies: Sequence[str],
    *,
    imputations: int,
    seed: int,
) -> tuple[dict[str, RubinEstimates], int]:
    """Each strategy's imputations, and how many drawn samples were replaced because no model could be fitted to them.

    Raises
    ------
    StatisticsError : more than a tenth of the samples could not be fitted.
    """
    rng = np.random.default_rng(seed)
    draws: dict[str, list[Array]] = {name: [] for name in strategies}
    redrawn = 0
    while len(draws[strategies[0]]) < imputations:
        parameters = model.resampled(_drawn(problem, rng))
        if parameters is None:
            redrawn += 1
            if redrawn > np.ceil(MAX_REDRAWN * imputations):
                raise StatisticsError(
                    "multiple imputation",
                    f"{redrawn} samples of the patients to which the imputation model could not be fitted",
                    f"at most one in {1 / MAX_REDRAWN:g} imputations",
                    "Take a covariance with fewer parameters, or method conditional_mean",
                )
            continue
        deviates = rng.standard_normal(courses.y.shape)
        for name in strategies:
            means = course(name, courses.marginal(parameters.beta))
            draws[name].append(draw(courses.y, means, parameters, deviates))
    return {name: RubinEstimates(np.stack(each), problem.ancova) for name, each in draws.items()}, redrawn


def _drawn(problem: Problem, rng: np.random.Generator) -> tuple[str, ...]:
    """As many patients of every arm as it has, with replacement."""
    chosen: list[str] = []
    for arm in range(len(problem.arms)):
        members = np.flatnonzero(problem.arm_of == arm)
        chosen += [problem.patients[place] for place in rng.choice(members, size=len(members))]
    return tuple(chosen)


def draw(y: Array, means: Array, parameters: Parameters, deviates: Array) -> Array:
    """Missing outcomes of y (n, m) from N(means, S) given those observed, from standard normal deviates (n, m)."""
    done = impute(y, means, parameters.S)
    missing = np.isnan(y)
    patterns, of_patient = np.unique(missing, axis=0, return_inverse=True)
    for index, lacking in enumerate(patterns):
        if not lacking.any():
            continue
        rows = np.flatnonzero(of_patient.ravel() == index)
        factor = np.linalg.cholesky(_remaining(parameters.S, lacking))
        done[np.ix_(rows, lacking)] += deviates[np.ix_(rows, lacking)] @ factor.T
    return done


def _remaining(S: Array, lacking: NDArray[np.bool_]) -> Array:
    """Covariance of the missing visits given the observed ones."""
    seen = ~lacking
    own = S[np.ix_(lacking, lacking)]
    if not seen.any():
        return own
    across = S[np.ix_(seen, lacking)]
    rest = own - across.T @ np.linalg.solve(S[np.ix_(seen, seen)], across)
    return (rest + rest.T) / 2
