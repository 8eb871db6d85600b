"""The covariance of a patient's true values over the visits of a power design."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trialscan.statistics.covariance import structure_named
from trialscan.statistics.power.sections import NotNegative, Positive, Section

Array = NDArray[np.float64]
Correlation = Annotated[float, Field(gt=-1, lt=1)]


class MatrixCovariance(Section):
    """The covariance written out."""

    structure: Literal["us"]
    matrix: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _symmetric(self) -> Self:
        if any(len(row) != len(self.matrix) for row in self.matrix):
            raise ValueError("matrix: rows of different lengths; expected as many columns as rows")
        S = np.array(self.matrix)
        if not np.array_equal(S, S.T):
            raise ValueError("matrix: not symmetric")
        return self


class CorrelatedVisits(Section):
    """Standard deviations, one for all visits or one each, and correlations.

    `correlation` is one number (cs, ar1), one for each distance (toep) or one for each step to the next visit (ad).
    """

    structure: Literal["cs", "ar1", "toep", "ad"]
    sd: Positive | tuple[Positive, ...]
    correlation: Correlation | tuple[Correlation, ...]


class RandomLines(Section):
    """A line for each patient, intercept at the first visit, and independent residuals."""

    structure: Literal["random_slope"]
    intercept_sd: NotNegative
    slope_sd_per_day: NotNegative
    correlation: Annotated[float, Field(ge=-1, le=1)] = 0.0
    residual_sd: Positive


CovarianceDesign = Annotated[
    MatrixCovariance | CorrelatedVisits | RandomLines,
    Field(discriminator="structure"),
]


def visit_covariance(given: MatrixCovariance | CorrelatedVisits | RandomLines, days: Array) -> Array:
    """The covariance (m, m) at visits on these study days (m,); ValueError where the numbers do not fit m visits."""
    m = len(days)
    if isinstance(given, MatrixCovariance):
        if len(given.matrix) != m:
            raise ValueError(f"covariance.matrix: {len(given.matrix)} rows for {m} visits")
        return np.array(given.matrix, dtype=np.float64)
    if isinstance(given, RandomLines):
        sd = np.array([given.intercept_sd, given.slope_sd_per_day])
        G = np.outer(sd, sd) * np.array([[1.0, given.correlation], [given.correlation, 1.0]])
        Z = np.column_stack([np.ones(m), days - days[0]])
        return np.asarray(Z @ G @ Z.T + given.residual_sd**2 * np.eye(m))
    structure = structure_named(f"{given.structure}h")
    sd = np.broadcast_to(_sized("sd", given.sd, m), m)
    phi = np.concatenate([sd**2, _sized("correlation", given.correlation, structure.count(m) - m)])
    return structure.derivatives(phi, m).S


def _sized(field: str, given: float | tuple[float, ...], wanted: int) -> Array:
    """The numbers, one alone repeated for all visits or distances that want one."""
    values = np.atleast_1d(np.array(given, dtype=np.float64))
    if isinstance(given, tuple) and len(values) != wanted:
        raise ValueError(f"covariance.{field}: {len(values)} numbers, expected {wanted}")
    return np.asarray(np.broadcast_to(values, wanted))
