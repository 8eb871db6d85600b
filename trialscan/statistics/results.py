"""What a fitted mixed model offers: coefficients, LS-means, contrasts, slopes, tests, and evidence of convergence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed, require_columns
from trialscan.statistics.design import CrossDesign
from trialscan.statistics.inference import Inference, JointTest
from trialscan.statistics.lsmeans import Averaging, Grid, differences, reference_grid
from trialscan.statistics.orthogonal import orthogonalise
from trialscan.statistics.terms import term_hypotheses, term_named

Array = NDArray[np.float64]
Weights = ArrayLike | Mapping[str, float]
Combinations = ArrayLike | Sequence[str] | Mapping[str, Weights]


@dataclass(frozen=True)
class SlopeCovariance:
    """G (2, 2) of random intercept and slope on the scale of the data and of time, and the residual variance."""

    G: Array
    sigma2: float

    @property
    def words(self) -> str:
        """What it is."""
        return "random intercept and slope"

    @property
    def correlation(self) -> float:
        """Of intercept and slope; NaN where a variance is zero."""
        size = float(np.sqrt(self.G[0, 0] * self.G[1, 1]))
        return float(self.G[0, 1]) / size if size > 0 else float("nan")

    def at(self, times: ArrayLike) -> Array:
        """Covariance Z G Z' + sigma2 I (…, n, n) of outcomes at `times` (…, n)."""
        t = np.asarray(times, dtype=np.float64)
        Z = np.stack([np.ones_like(t), t], axis=-1)
        return np.asarray(np.einsum("...ia,ab,...jb->...ij", Z, self.G, Z) + self.sigma2 * np.eye(t.shape[-1]))

    def record(self) -> dict[str, Any]:
        """For models.json."""
        return {"G": self.G.tolist(), "correlation": self.correlation, "sigma2": self.sigma2}


@dataclass(frozen=True)
class VisitCovariance:
    """Covariance (m, m) of the visits on the scale of the data, one matrix a group of patients.

    `structure` is its short name, `label` its long one; `parameters` (k,) of each group are the natural ones.
    """

    structure: str
    label: str
    visits: tuple[str, ...]
    matrices: Mapping[str, Array]
    parameters: Mapping[str, Array]

    @property
    def words(self) -> str:
        """What it is."""
        return f"{self.label} covariance"

    @property
    def matrix(self) -> Array:
        """The covariance all patients share; StatisticsError where groups have their own."""
        if len(self.matrices) > 1:
            raise StatisticsError("covariance", f"one for each of {', '.join(self.matrices)}", "matrices[group]")
        return next(iter(self.matrices.values()))

    def record(self) -> dict[str, Any]:
        """For models.json."""
        return {
            "structure": self.structure,
            "label": self.label,
            "visits": list(self.visits),
            "matrices": {group: values.tolist() for group, values in self.matrices.items()},
            "parameters": {group: values.tolist() for group, values in self.parameters.items()},
            "spread": {group: spread_record(values) for group, values in self.matrices.items()},
        }


def spread_record(covariance: Array) -> dict[str, Any]:
    """Standard deviations (m,) and correlations (m, m) of a covariance matrix, for models.json."""
    sd = np.sqrt(np.diag(covariance))
    return {"standard_deviations": sd.tolist(), "correlations": (covariance / np.outer(sd, sd)).tolist()}


@dataclass(frozen=True)
class Convergence:
    """Evidence that the estimate is a minimum of −2 log-likelihood.

    Gradient and Hessian are those in the parameters of optimisation, on the working scale (outcome and time divided by
    their spread). `relative_gradient` is the gradient norm over the number of rows; for an MMRM, whose parameters
    differ in size, over the root of their information and of the number of rows. At a singular covariance the minimum
    lies on the boundary and one Hessian eigenvalue may be zero. `iterations` are counted by kind, over all starts;
    `fallback` tells, structure by structure, why those asked for before the one fitted were given up.
    """

    gradient_norm: float
    relative_gradient: float
    hessian_eigenvalues: tuple[float, ...]
    starts: int
    iterations: Mapping[str, int]
    evaluations: int
    method: str
    parameterisation: str
    singular: bool
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class MixedModelResult:
    """A fitted linear mixed model; made by the fitting functions, which raise rather than return a failed fit.

    `names` (p,) are all coefficients of the formula, `beta` (r,) and `inference`'s covariance (r, r) those of
    `estimated_names`, which leave aliased columns out; `inference` says how degrees of freedom were had.
    `minus2loglik` is restricted when `reml`. `n_missing_outcome` rows of the table had no outcome and were left out.
    `time` is the column of times or visits.
    """

    formula: str
    patient: str
    time: str
    reml: bool
    inference: Inference
    alpha: float
    names: tuple[str, ...]
    beta: Array
    covariance: SlopeCovariance | VisitCovariance
    minus2loglik: float
    convergence: Convergence
    n_obs: int
    n_patients: int
    n_missing_outcome: int
    design: CrossDesign

    def __repr__(self) -> str:
        """What was fitted to what, for a notebook."""
        likelihood = f"-2 {'restricted ' if self.reml else ''}log-likelihood {self.minus2loglik:.6f}"
        fitted = f"{self.formula!r}, {self.covariance.words}, {self.n_patients} patients, {self.n_obs} rows"
        return f"<{type(self).__name__}: {fitted}, {likelihood}, {self.inference.method.description}>"

    @property
    def vcov(self) -> Array:
        """Covariance (r, r) of the fixed effects that were estimated, as the method of inference has it."""
        return self.inference.vcov

    @property
    def estimated_names(self) -> tuple[str, ...]:
        """The coefficients without those of aliased columns."""
        return tuple(self.names[index] for index in self.design.basis.kept)

    @property
    def coefficients(self) -> pd.DataFrame:
        """A row each fixed effect: estimate, se, df, t, p, lower, upper; NaN for those of aliased columns."""
        kept = self._estimates(np.eye(len(self.beta))).set_axis(list(self.estimated_names))
        return kept.reindex(pd.Index(self.names, name="name"))

    def contrast(self, weights: Weights, name: str = "contrast") -> pd.DataFrame:
        """One row, as in `coefficients`, for a linear combination of them, by position or by name."""
        return self.contrasts({name: weights})

    def contrasts(self, combinations: Combinations) -> pd.DataFrame:
        """A row each linear combination of the coefficients; for differences of arms see `lsmeans_differences`.

        `combinations` are {label: weights}, weights being {coefficient: weight} or one for each coefficient; or a
        matrix (c, p), whose rows are labelled by number; or names of coefficients. What is not estimable is NaN, and
        `attrs["not_estimable"]` lists it.

        Raises
        ------
        StatisticsError : a coefficient that the model lacks, a vector of the wrong length, or nothing but zeros.
        """
        rows = self._combination_rows(combinations)
        if empty := [name for name, row in rows.items() if not row.any()]:
            raise StatisticsError(f"contrast {listed(empty)}", "every weight is zero", "a weight for some coefficient")
        return self._table(np.array(list(rows.values())).reshape(-1, len(self.names)), tuple(rows))

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

    def lsmeans(
        self, by: str | Sequence[str], *, weights: Averaging = "equal", at: Mapping[str, float] | None = None
    ) -> pd.DataFrame:
        """LS-means: a row each combination of the levels of the factors `by`, indexed by them.

        Parameters
        ----------
        weights : how the other factors are averaged over: "equal" over all combinations of their levels, as emmeans'
            default and SAS's, or "proportional" to the rows that have each.
        at : values of numeric covariates; those not named stand at their mean over the model's rows.

        `attrs["averaging"]` says the same in words. A mean that is not estimable, because it rests on a combination of
        levels without data, is NaN and listed in `attrs["not_estimable"]`. Raises StatisticsError for an unknown or
        numeric `by`.
        """
        grid = reference_grid(self.design, by, weights, at or {})
        return self._grid_table(grid)

    def lsmeans_differences(
        self,
        of: str,
        by: str | Sequence[str] = (),
        *,
        reference: str | None = None,
        weights: Averaging = "equal",
        at: Mapping[str, float] | None = None,
    ) -> pd.DataFrame:
        """Differences of LS-means from the reference level of `of` (None: the first), within the levels of `by`.

        Rows are indexed by (level, *by). Arguments as in `lsmeans`.
        """
        within = (by,) if isinstance(by, str) else tuple(by)
        grid = reference_grid(self.design, (of, *within), weights, at or {})
        return self._grid_table(differences(grid, reference))

    def joint_test(self, combinations: Combinations) -> JointTest:
        """The F test that linear combinations are all zero.

        `combinations` are the name of a term (`"arm:visit"`, tested as `term_tests` does), a list of coefficients'
        names, a matrix (c, p), or named combinations as `contrasts` takes them. Combinations that repeat others are
        left out. Raises StatisticsError for unknown coefficients, for combinations that are not estimable, or where
        nothing is left to test.
        """
        term = term_named(self.design, combinations) if isinstance(combinations, str) else None
        if term is not None:
            return self._joint(term_hypotheses(self.design)[term])
        return self._joint(np.array(list(self._combination_rows(combinations).values())))

    def term_tests(self) -> pd.DataFrame:
        """A row each term of the formula: F, its degrees of freedom and p of the type III test (`term_hypotheses`)."""
        tests = {term: self._joint(rows) for term, rows in term_hypotheses(self.design).items()}
        rows = [(each.statistic, each.numerator_df, each.denominator_df, each.p) for each in tests.values()]
        index = pd.Index(tests, name="term")
        return pd.DataFrame(rows, index=index, columns=["f", "numerator_df", "denominator_df", "p"])

    def _joint(self, rows: Array) -> JointTest:
        if not (known := self.design.basis.estimable(rows)).all():
            raise StatisticsError(
                "joint test",
                f"{(~known).sum()} of {len(rows)} combinations are not estimable: {self._why_not()}",
                "combinations that the data determine",
            )
        rows = rows[:, list(self.design.basis.kept)]
        kept = orthogonalise(rows.T).kept
        if not kept:
            raise StatisticsError("joint test", "no combination that is not zero", "one or more")
        rows = rows[list(kept)]
        return self.inference.joint(rows, rows @ self.beta)

    def _combination_rows(self, combinations: Combinations) -> dict[str, Array]:
        """Label → weights (p,) of each."""
        if isinstance(combinations, Mapping):
            return {name: self._weights(name, each) for name, each in combinations.items()}
        given = [combinations] if isinstance(combinations, str) else list(np.asarray(combinations, dtype=object))
        if given and all(isinstance(each, str) for each in given):
            return {name: self._weights(name, {name: 1.0}) for name in given}
        matrix = np.atleast_2d(np.asarray(combinations, dtype=np.float64))
        return {f"row {number}": self._weights(f"row {number}", row) for number, row in enumerate(matrix, start=1)}

    def _grid_table(self, grid: Grid) -> pd.DataFrame:
        table = self._table(grid.weights, grid.index)
        table.attrs["averaging"] = grid.averaging
        return table

    def _weights(self, name: str, weights: Weights) -> Array:
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

    def _why_not(self) -> str:
        return f"aliased {listed(list(self.design.aliased))}"

    def _table(self, weights: Array, index: Sequence[str] | pd.Index) -> pd.DataFrame:
        """Estimates of combinations (c, p) of all coefficients."""
        labels = index if isinstance(index, pd.Index) else pd.Index(index, name="name")
        known = self.design.basis.estimable(weights)
        found = self._estimates(weights[known][:, list(self.design.basis.kept)])
        values = np.full((len(labels), found.shape[1]), np.nan)
        values[known] = found
        table = pd.DataFrame(values, index=labels, columns=found.columns)
        table.attrs["not_estimable"] = tuple(labels[~known])
        return table

    def _estimates(self, weights: Array) -> pd.DataFrame:
        """Of combinations (c, r) of the coefficients that were estimated."""
        estimate = weights @ self.beta
        se = np.sqrt(np.einsum("ka,ab,kb->k", weights, self.vcov, weights))
        df = self.inference.df(weights)
        t = estimate / se
        reach = stats.t.isf(self.alpha / 2, df) * se
        return pd.DataFrame(
            {
                "estimate": estimate,
                "se": se,
                "df": df,
                "t": t,
                "p": 2 * stats.t.sf(np.abs(t), df),
                "lower": estimate - reach,
                "upper": estimate + reach,
            }
        )
