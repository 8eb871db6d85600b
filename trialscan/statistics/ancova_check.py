"""The independent check of an analysis of covariance: the same least squares by another path (double programming).

The analysis itself reads a formula into an intercept and contrasts and solves by statsmodels' pseudoinverse. Here no
formula is read: outcome and columns are made from the patients' values, with a mean for every arm and no intercept,
covariates centred, and solved by Householder QR. The coefficients of the arms are then the adjusted means themselves.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, stats

Array = NDArray[np.float64]
SOFTWARE = "least squares by Householder QR of arm means and centred covariates (scipy)"
EFFECT_TOLERANCE_SE = 1e-6
SE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class LeastSquaresCheck:
    """How the other path compares.

    verdict: "agrees", "differs", or "failed" where the other path has no solution. effect_difference_se: the largest
    difference of an adjusted mean or of a difference of arms, in standard errors. se_difference, p_difference: the
    largest relative difference of a standard error, and of a p value of a difference of arms.
    """

    software: str
    verdict: str
    effect_difference_se: float | None
    se_difference: float | None
    p_difference: float | None
    effect_tolerance_se: float
    se_tolerance: float
    messages: tuple[str, ...]

    def record(self) -> dict[str, object]:
        """For models.json."""
        return {**asdict(self), "messages": list(self.messages)}


def check_ancova(
    patients: pd.DataFrame, covariates: Sequence[str], adjusted: pd.DataFrame, differences: pd.DataFrame, *, log: bool
) -> LeastSquaresCheck:
    """Solve again and compare with the tables of adjusted means and differences.

    Parameters
    ----------
    patients : a row a patient with TRT01P (a categorical, the reference first), AVAL, BASE and the covariates.
    covariates : columns of numbers or factors in the model besides the baseline.
    adjusted, differences : the analysis' own tables, with estimate and se, and p of the differences.
    log : whether outcome and baseline are log(1 + value).
    """
    try:
        theirs = _other_path(patients, covariates, log=log)
    except (np.linalg.LinAlgError, ValueError) as error:
        return _check("failed", None, (f"{type(error).__name__}: {error}",))
    ours = pd.concat([adjusted, differences])[["estimate", "se", "p"]].to_numpy(dtype=np.float64)
    gaps = np.abs(theirs - ours)
    tests = slice(len(adjusted), None)
    size = (
        float(np.max(gaps[:, 0] / ours[:, 1])),
        float(np.max(gaps[:, 1] / ours[:, 1])),
        float(np.max(gaps[tests, 2] / np.maximum(ours[tests, 2], np.finfo(np.float64).tiny))),
    )
    if not np.isfinite(size).all():
        return _check("failed", None, ("its estimates are not finite",))
    same = size[0] <= EFFECT_TOLERANCE_SE and size[1] <= SE_TOLERANCE
    return _check("agrees" if same else "differs", size, ())


def _check(verdict: str, size: tuple[float, float, float] | None, messages: tuple[str, ...]) -> LeastSquaresCheck:
    effect, se, p = size if size is not None else (None, None, None)
    return LeastSquaresCheck(SOFTWARE, verdict, effect, se, p, EFFECT_TOLERANCE_SE, SE_TOLERANCE, messages)


def _other_path(patients: pd.DataFrame, covariates: Sequence[str], *, log: bool) -> Array:
    """Rows (arms, then other arms less the first) of estimate, se, p."""
    values: Array = patients[["AVAL", "BASE"]].to_numpy(dtype=np.float64)
    scaled: Array = np.asarray(np.log(1 + values)) if log else values
    value, base = scaled[:, 0], scaled[:, 1]
    arms = patients["TRT01P"].cat.categories
    indicators = np.column_stack([(patients["TRT01P"] == arm).to_numpy(dtype=np.float64) for arm in arms])
    columns: list[Array] = [base]
    for name in covariates:
        columns += _columns(patients[name])
    beside = np.column_stack(columns)
    centred: Array = beside - np.mean(beside, axis=0)
    X = np.concatenate((indicators, centred), axis=1)
    Q, R = linalg.qr(X, mode="economic")
    beta = linalg.solve_triangular(R, Q.T @ (value - base))
    inverse = linalg.solve_triangular(R, np.eye(len(R)))
    df = len(X) - X.shape[1]
    residual = value - base - X @ beta
    covariance = inverse @ inverse.T * (residual @ residual) / df
    means = np.eye(len(arms), len(beta))
    weights = np.vstack([means, means[1:] - means[0]])
    estimate = weights @ beta
    se = np.sqrt(np.einsum("ka,ab,kb->k", weights, covariance, weights))
    return np.column_stack((estimate, se, 2 * stats.t.sf(np.abs(estimate / se), df)))


def _columns(values: "pd.Series[float]") -> list[Array]:
    """A number as it is; a factor as indicators of all its levels but the last."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        number: Array = np.asarray(values, dtype=np.float64)
        return [number]
    levels = [level for level in values.cat.categories if (values == level).any()]
    return [(values == level).to_numpy(dtype=np.float64) for level in levels[:-1]]
