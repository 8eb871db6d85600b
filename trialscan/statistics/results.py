"""What a fitted mixed model offers: coefficients, covariance, contrasts, slopes, and the evidence of convergence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed, require_columns
from trialscan.statistics.design import Design

Array = NDArray[np.float64]
ASYMPTOTIC = "asymptotic (normal) inference"


@dataclass(frozen=True)
class SlopeCovariance:
    """G (2, 2) of random intercept and slope on the scale of the data and of time, and the residual variance."""

    G: Array
    sigma2: float

    @property
    def correlation(self) -> float:
        """Of intercept and slope; NaN where a variance is zero."""
        size = float(np.sqrt(self.G[0, 0] * self.G[1, 1]))
        return float(self.G[0, 1]) / size if size > 0 else float("nan")


@dataclass(frozen=True)
class Convergence:
    """Evidence that the estimate is a minimum of −2 log-likelihood.

    Gradient and Hessian are those in the parameters of optimisation, on the working scale (outcome and time divided by
    their spread). `relative_gradient` is the gradient norm over the number of rows. At a singular covariance the
    minimum lies on the boundary and one Hessian eigenvalue may be zero.
    """

    gradient_norm: float
    relative_gradient: float
    hessian_eigenvalues: tuple[float, ...]
    starts: int
    bfgs_iterations: int
    newton_iterations: int
    evaluations: int
    method: str
    parameterisation: str
    singular: bool


@dataclass(frozen=True)
class MixedModelResult:
    """A fitted linear mixed model; made by the fitting functions, which raise rather than return a failed fit.

    `beta` (p,) with `vcov` (p, p) = (X'V⁻¹X)⁻¹ follow `names`. `minus2loglik` is restricted when `reml`. `inference`
    says how degrees of freedom were had. `n_missing_outcome` rows of the table had no outcome and were left out.
    """

    formula: str
    patient: str
    time: str
    reml: bool
    inference: str
    alpha: float
    names: tuple[str, ...]
    beta: Array
    vcov: Array
    covariance: SlopeCovariance
    minus2loglik: float
    convergence: Convergence
    n_obs: int
    n_patients: int
    n_missing_outcome: int
    design: Design

    @property
    def coefficients(self) -> pd.DataFrame:
        """A row each fixed effect: estimate, se, df, t, p, lower, upper."""
        return self._table(np.eye(len(self.names)), self.names)

    def contrast(self, weights: ArrayLike | Mapping[str, float], name: str) -> pd.DataFrame:
        """One row, as in `coefficients`, for a linear combination of them, by position or by name."""
        return self.contrasts({name: weights})

    def contrasts(self, combinations: Mapping[str, ArrayLike | Mapping[str, float]]) -> pd.DataFrame:
        """A row each named combination.

        Raises
        ------
        StatisticsError : a coefficient that the model lacks, or a vector of the wrong length.
        """
        rows = [self._weights(name, weights) for name, weights in combinations.items()]
        return self._table(np.array(rows).reshape(-1, len(self.names)), tuple(combinations))

    def slopes(self, by: str) -> pd.DataFrame:
        """A row each level of factor `by`: the change of the outcome for one unit of time.

        Other covariates are averaged over the model's rows, as observed.
        """
        weights = self._slope_weights(by)
        return self._table(np.array(list(weights.values())), tuple(weights))

    def slope_differences(self, by: str, reference: str | None = None) -> pd.DataFrame:
        """A row each other level of `by`: its slope minus the reference's (None: the first level)."""
        weights = self._slope_weights(by)
        chosen = next(iter(weights)) if reference is None else reference
        if chosen not in weights:
            raise StatisticsError(f"reference {chosen!r}", f"no such level of {by!r}", f"one of {', '.join(weights)}")
        others = tuple(level for level in weights if level != chosen)
        return self._table(
            np.array([weights[level] - weights[chosen] for level in others]).reshape(-1, len(self.names)), others
        )

    def _weights(self, name: str, weights: ArrayLike | Mapping[str, float]) -> Array:
        if isinstance(weights, Mapping):
            unknown = [key for key in weights if key not in self.names]
            if unknown:
                raise StatisticsError(
                    f"contrast {name!r}", f"no coefficient named {listed(unknown)}", f"some of {', '.join(self.names)}"
                )
            return np.array([weights.get(key, 0.0) for key in self.names], dtype=np.float64)
        vector = np.asarray(weights, dtype=np.float64)
        if vector.shape != (len(self.names),):
            raise StatisticsError(f"contrast {name!r}", f"shape {vector.shape}", f"({len(self.names)},)")
        return vector

    def _slope_weights(self, by: str) -> dict[str, Array]:
        """For each level of `by` the mean over rows of X(time = 1) − X(time = 0), which a linear term leaves exact."""
        frame = self.design.frame
        require_columns(frame, (by,), f"formula {self.formula!r}")
        if not isinstance(frame[by].dtype, pd.CategoricalDtype):
            raise StatisticsError(f"column {by!r}", "numbers", "a factor, such as the arm")
        levels = frame[by].cat.categories
        weights = {}
        for level in levels:
            rows = frame.assign(**{by: pd.Categorical([level] * len(frame), categories=levels)})
            at = [self.design.matrix(rows.assign(**{self.time: float(when)})) for when in (0, 1, 2)]
            if not np.allclose(at[2] - at[1], at[1] - at[0], rtol=1e-9, atol=1e-9):
                raise StatisticsError(f"formula {self.formula!r}", f"not linear in {self.time}", "one slope over time")
            weights[str(level)] = np.mean(at[1] - at[0], axis=0)
        return weights

    def _table(self, weights: Array, names: Sequence[str]) -> pd.DataFrame:
        estimate = weights @ self.beta
        se = np.sqrt(np.einsum("ka,ab,kb->k", weights, self.vcov, weights))
        t = estimate / se
        reach = stats.norm.isf(self.alpha / 2) * se
        return pd.DataFrame(
            {
                "estimate": estimate,
                "se": se,
                "df": np.inf,
                "t": t,
                "p": 2 * stats.norm.sf(np.abs(t)),
                "lower": estimate - reach,
                "upper": estimate + reach,
            },
            index=pd.Index(names, name="name"),
        )
