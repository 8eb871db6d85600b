"""The analysis of completed outcomes: covariance analysis at each visit, outcome ~ arm + covariates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed, parsed_numbers, text_column

Array = NDArray[np.float64]


@dataclass(frozen=True)
class VisitAncova:
    """Least squares with the same rows X (n, q) at every visit: intercept, other arms, covariates.

    Results have k = 2 arms − 1 lines: differences of the other arms from the reference, then the adjusted means of all
    arms at the covariates' means, the reference's first.
    """

    X: Array
    arms: int

    @property
    def df(self) -> int:
        """Residual degrees of freedom, n − rank X."""
        return len(self.X) - int(np.linalg.matrix_rank(self.X))

    def without(self, index: int) -> "VisitAncova":
        """All patients but one."""
        return VisitAncova(np.delete(self.X, index, axis=0), self.arms)

    def estimates(self, y: Array) -> Array:
        """(k, m) of completed outcomes y (n, m)."""
        coefficients = np.linalg.lstsq(self.X, y, rcond=None)[0]
        at = self.X.mean(axis=0)
        base = coefficients[0] + at[self.arms :] @ coefficients[self.arms :]
        differences = coefficients[1 : self.arms]
        return np.vstack([differences, base[None], base + differences])

    def variances(self, y: Array) -> Array:
        """Squared standard errors (k, m) of the estimates, s² w'(X'X)⁻w."""
        inverse = np.linalg.pinv(self.X)
        residual = y - self.X @ (inverse @ y)
        s2 = np.sum(residual**2, axis=0) / self.df
        weights = self.estimates(np.eye(len(self.X)))
        return np.asarray(np.sum(weights**2, axis=1)[:, None] * s2)


def visit_ancova(first: pd.DataFrame, arm: str, arms: Sequence[str], covariates: Sequence[str]) -> VisitAncova:
    """The rows of an analysis; `first` has one row a patient, `arms` the reference first.

    Covariates that are numbers enter as such, others as indicators of their levels but the first.

    Raises
    ------
    StatisticsError : a missing or infinite covariate; no residual degrees of freedom.
    """
    columns = [np.ones(len(first)), *((first[arm] == other).to_numpy(float) for other in arms[1:])]
    for name in covariates:
        columns += _columns(first[name], name)
    ancova = VisitAncova(np.column_stack(columns).astype(np.float64), len(arms))
    if ancova.df < 1:
        raise StatisticsError(
            "analysis of covariance", f"{len(first)} patients for {ancova.X.shape[1]} coefficients", "more patients"
        )
    return ancova


def _columns(values: "pd.Series[float]", name: str) -> list[Array]:
    text = text_column(values)
    if text.isna().any():
        raise StatisticsError(f"column {name!r}", f"missing for {text.isna().sum()} patient(s)", "a value for each")
    numbers, wrong = parsed_numbers(text)
    if wrong is None:
        if not np.isfinite(numbers).all():
            raise StatisticsError(f"column {name!r}", listed(list(text[~np.isfinite(numbers)])), "finite numbers")
        return [numbers]
    return [np.asarray(text == level, dtype=np.float64) for level in sorted(set(text))[1:]]
