"""Reference-based imputation with the jackknife: deterministic sensitivity analyses of a comparison of arms.

The imputation model is an MMRM by REML on what was observed (outcomes after an intercurrent event left out where a
strategy other than MAR applies). Missing outcomes become their conditional means under the strategy, each visit is
analysed by ANCOVA, and standard errors are the jackknife's over patients, the imputation model included (White, Royes &
Best 2020; Wolbers et al. 2022), with normal inference as in R's rbmi.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed, numeric_column, require_columns, text_column
from trialscan.statistics.covariance import structure_named
from trialscan.statistics.formula import parse_formula
from trialscan.statistics.imputation.conditional import Courses, impute
from trialscan.statistics.imputation.strategies import STRATEGIES, course
from trialscan.statistics.mmrm.design import VisitDesign, build_visit_design, declared_order, visit_positions
from trialscan.statistics.mmrm.identification import refuse_unidentified
from trialscan.statistics.mmrm.likelihood import MmrmLikelihood
from trialscan.statistics.mmrm.moments import visit_moments
from trialscan.statistics.mmrm.search import find_minimum

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceBasedResult:
    """Differences and adjusted means under each strategy.

    `differences` is indexed by (strategy, arm, visit), `adjusted_means` likewise with the reference arm too; columns
    estimate, se, z, p, lower, upper. `imputed` (patient, visit) holds the completed outcomes by strategy where the
    outcome was missing or, after an event, not used.
    """

    formula: str
    analysis: str
    reference: str
    strategies: tuple[str, ...]
    differences: pd.DataFrame
    adjusted_means: pd.DataFrame
    imputed: pd.DataFrame
    n_refits: int


def reference_based(
    data: pd.DataFrame,
    formula: str,
    *,
    patient: str,
    visit: str,
    arm: str,
    reference: str,
    first_affected: str,
    covariates: Sequence[str] = (),
    strategies: Sequence[str] = tuple(STRATEGIES),
    visit_order: Sequence[str] | None = None,
    covariance: str = "us",
    alpha: float = 0.05,
) -> ReferenceBasedResult:
    """Compare arms with missing outcomes imputed under each strategy.

    Parameters
    ----------
    data : a row for every patient and visit, those without an outcome included (their covariates are needed).
    formula : the imputation model, `outcome ~ terms`, with the arm and the visit among the terms.
    patient, visit, arm, reference : columns, and the arm to compare with.
    first_affected : a column with the first visit that the patient's intercurrent event affects; missing for none.
        Outcomes missing before it, or without an event, are imputed as MAR under every strategy. Outcomes observed
        from it on are kept under MAR, and are not used by the imputation model of the others.
    covariates : columns of the ANCOVA at each visit, besides the arm; numbers, constant within a patient.
    strategies : some of MAR, JR, CIR, CR, LMCF. covariance : of the imputation model.
    alpha : intervals cover 1 − alpha.

    Raises
    ------
    StatisticsError : faults of the table or the formula; a patient without a row for a visit; an event at an unknown
        visit; an unknown arm or strategy; a fit that did not converge, naming the patient it was made without.
    """
    _refuse_unknown(data, (arm, first_affected, *covariates), strategies)
    keys = _Keys(patient, visit, arm, reference)
    estimates: dict[str, _Estimates] = {}
    for kept in (True, False):
        chosen = [name for name in strategies if (name == "MAR") == kept]
        if chosen:
            problem = _problem(
                data,
                formula,
                keys,
                first_affected=first_affected,
                covariates=covariates,
                visit_order=visit_order,
                keep_after=kept,
            )
            with threadpool_limits(limits=1, user_api="blas"):
                estimates |= _jackknife(problem, chosen, covariance)
    return _result(problem, estimates, strategies, alpha)


@dataclass(frozen=True)
class _Keys:
    """The columns of patient, visit and arm, and the reference arm."""

    patient: str
    visit: str
    arm: str
    reference: str


@dataclass(frozen=True)
class _Problem:
    """What every refit needs: the imputation model's design, all patients' courses, and the rows of the ANCOVA.

    `ancova` (n, q): intercept, other arms, covariates; `patient_of_design` maps patients of the design to courses.
    """

    formula: str
    design: VisitDesign
    courses: Courses
    patients: tuple[str, ...]
    ancova: Array
    arms: tuple[str, ...]
    place: NDArray[np.intp]


@dataclass(frozen=True)
class _Estimates:
    """Differences (arms − 1, m) and adjusted means (arms, m) with standard errors, and completed outcomes (n, m)."""

    differences: Array
    difference_se: Array
    means: Array
    mean_se: Array
    completed: Array
    n_refits: int


def _refuse_unknown(data: pd.DataFrame, columns: Sequence[str], strategies: Sequence[str]) -> None:
    require_columns(data, columns)
    if unknown := [name for name in strategies if name not in STRATEGIES]:
        raise StatisticsError(f"strategy {listed(unknown)}", "not known", f"one of {', '.join(STRATEGIES)}")


def _problem(
    data: pd.DataFrame,
    formula: str,
    keys: _Keys,
    *,
    first_affected: str,
    covariates: Sequence[str],
    visit_order: Sequence[str] | None,
    keep_after: bool,
) -> _Problem:
    order = declared_order(data[keys.visit], keys.visit, visit_order)
    rows = data.assign(**{keys.patient: text_column(data[keys.patient]), keys.arm: text_column(data[keys.arm])})
    position = visit_positions(data[keys.visit], order)
    rows = rows.iloc[np.lexsort((position, rows[keys.patient].to_numpy(dtype=str)))].reset_index(drop=True)
    patients = tuple(dict.fromkeys(rows[keys.patient]))
    _refuse_gaps(rows, keys, order, patients)
    n, m = len(patients), len(order)
    events = visit_positions(rows[first_affected], order).reshape(n, m)[:, 0]
    after = np.arange(m)[None, :] >= np.where(np.isnan(events), m, events)[:, None]
    outcome = parse_formula(formula, rows).outcome_columns
    if len(outcome) != 1:
        raise StatisticsError(f"formula {formula!r}", f"{len(outcome)} outcome columns", "one, not transformed")
    y = numeric_column(rows, outcome[0]).reshape(n, m)
    if not keep_after:
        y = np.where(after, np.nan, y)
    observed = rows.assign(**{outcome[0]: y.ravel()})
    design = build_visit_design(observed, formula, patient=keys.patient, visit=keys.visit, visit_order=order)
    frame = _coded(observed, design)
    arms = (keys.reference, *sorted(set(rows[keys.arm]) - {keys.reference}))
    if keys.reference not in set(rows[keys.arm]) or len(arms) < 2:
        raise StatisticsError(f"column {keys.arm!r}", f"arms {listed(arms)}", f"{keys.reference!r} and another arm")
    swapped = frame.assign(**{keys.arm: pd.Categorical([keys.reference] * len(frame), frame[keys.arm].cat.categories)})
    shape = (n, m, len(design.names))
    courses = Courses(y, design.matrix(frame).reshape(shape), design.matrix(swapped).reshape(shape), after)
    place = np.array([patients.index(name) for name in design.patients])
    ancova = _ancova_rows(rows.iloc[::m], keys.arm, arms, covariates)
    return _Problem(design.formula, design, courses, patients, ancova, arms, place)


def _refuse_gaps(rows: pd.DataFrame, keys: _Keys, order: Sequence[str], patients: Sequence[str]) -> None:
    counts = rows[keys.patient].value_counts()
    if wrong := [name for name in patients if counts[name] != len(order)]:
        raise StatisticsError(
            "data",
            f"patient {listed(wrong)} without exactly one row for each of {len(order)} visits",
            "a row for every patient and visit, with an empty outcome where it is missing",
        )


def _coded(rows: pd.DataFrame, design: VisitDesign) -> pd.DataFrame:
    """The columns of the model for every row, factors with the levels of the fitted rows."""
    out = {}
    for name in design.model_columns:
        known = design.frame[name]
        if isinstance(known.dtype, pd.CategoricalDtype):
            text = text_column(rows[name])
            if unknown := sorted(set(text.dropna()) - set(known.cat.categories)):
                raise StatisticsError(f"column {name!r}", f"no outcome for {listed(unknown)}", "an outcome somewhere")
            out[name] = pd.Series(pd.Categorical(text, known.cat.categories))
        else:
            out[name] = pd.Series(numeric_column(rows, name))
        if out[name].isna().any():
            raise StatisticsError(f"column {name!r}", "missing in a row to be imputed", "a value in every row")
    return pd.DataFrame(out)


def _ancova_rows(first: pd.DataFrame, arm: str, arms: Sequence[str], covariates: Sequence[str]) -> Array:
    columns = [np.ones(len(first)), *((first[arm] == other).to_numpy(float) for other in arms[1:])]
    columns += [numeric_column(first, name) for name in covariates]
    out: Array = np.column_stack(columns).astype(np.float64)
    if not np.isfinite(out).all():
        raise StatisticsError(f"column {listed(list(covariates))}", "missing or infinite values", "finite numbers")
    return out


def _jackknife(problem: _Problem, strategies: Sequence[str], covariance: str) -> "dict[str, _Estimates]":
    """Estimates under each strategy with standard errors √((n − 1)/n Σ (θ₋ᵢ − θ̄)²)."""
    refuse_unidentified(covariance, problem.design)
    moments, scale = visit_moments(problem.design)
    structure = structure_named(covariance)

    def fitted(likelihood: MmrmLikelihood, start: Array | None) -> tuple[Array, Array, Array]:
        minimum = find_minimum(likelihood, start)
        beta = scale.inverse_r @ (scale.ols + scale.y_scale * minimum.at.beta)
        return minimum.phi, beta, scale.y_scale**2 * likelihood.covariances(minimum.phi)[0].S

    phi, beta, S = fitted(MmrmLikelihood(moments, structure, reml=True), None)
    whole = {name: _estimates(problem.courses, problem, name, beta, S) for name in strategies}
    n = len(problem.patients)
    of_design = {int(place): index for index, place in enumerate(problem.place)}
    left: dict[str, list[Array]] = {name: [] for name in strategies}
    for index in range(n):
        beta_i, S_i = beta, S
        if index in of_design:
            try:
                rest = MmrmLikelihood(moments.without(of_design[index]), structure, reml=True)
                _, beta_i, S_i = fitted(rest, phi)
            except (StatisticsError, np.linalg.LinAlgError) as error:
                raise StatisticsError(
                    f"jackknife without patient {problem.patients[index]}", str(error), "a fit that converges"
                ) from error
        courses, ancova = problem.courses.without(index), np.delete(problem.ancova, index, axis=0)
        for name in strategies:
            means = course(name, courses.marginal(beta_i))
            left[name].append(_ancova(impute(courses.y, means, S_i), ancova, len(problem.arms)))
    out = {}
    for name, (values, completed) in whole.items():
        spread = np.stack(left[name]) - np.mean(left[name], axis=0)
        se = np.sqrt((n - 1) / n * np.sum(spread**2, axis=0))
        k = len(problem.arms) - 1
        out[name] = _Estimates(values[:k], se[:k], values[k:], se[k:], completed, n)
    return out


def _estimates(courses: Courses, problem: _Problem, name: str, beta: Array, S: Array) -> tuple[Array, Array]:
    means = course(name, courses.marginal(beta))
    completed = impute(courses.y, means, S)
    return _ancova(completed, problem.ancova, len(problem.arms)), completed


def _ancova(y: Array, X: Array, arms: int) -> Array:
    """Differences and adjusted means at the covariates' means, (2 arms − 1, m), by least squares at each visit."""
    coefficients = np.linalg.lstsq(X, y, rcond=None)[0]
    at = X.mean(axis=0)
    base = coefficients[0] + at[arms:] @ coefficients[arms:]
    differences = coefficients[1:arms]
    return np.vstack([differences, base[None], base + differences])


def _result(
    problem: _Problem, estimates: "dict[str, _Estimates]", strategies: Sequence[str], alpha: float
) -> ReferenceBasedResult:
    visits, others = problem.design.visits, problem.arms[1:]
    differences, means, imputed = [], [], []
    missing = np.isnan(problem.courses.y)
    patients, places = np.nonzero(missing)
    for name in strategies:
        found = estimates[name]
        compared, all_arms = (
            pd.MultiIndex.from_product([[name], arms, visits], names=["strategy", "arm", "visit"])
            for arms in (others, problem.arms)
        )
        differences.append(_frame(compared, found.differences, found.difference_se, alpha))
        means.append(_frame(all_arms, found.means, found.mean_se, alpha))
        imputed.append(pd.Series(found.completed[missing], name=name))
    index = pd.MultiIndex.from_arrays(
        [[problem.patients[i] for i in patients], [visits[j] for j in places]], names=["patient", "visit"]
    )
    return ReferenceBasedResult(
        formula=problem.formula,
        analysis=f"ANCOVA at each visit; jackknife over {len(problem.patients)} patients; normal inference",
        reference=problem.arms[0],
        strategies=tuple(strategies),
        differences=pd.concat(differences),
        adjusted_means=pd.concat(means),
        imputed=pd.concat(imputed, axis=1).set_axis(index),
        n_refits=next(iter(estimates.values())).n_refits,
    )


def _frame(index: pd.MultiIndex, values: Array, errors: Array, alpha: float) -> pd.DataFrame:
    estimate, se = values.ravel(), errors.ravel()
    z = estimate / se
    reach = stats.norm.isf(alpha / 2) * se
    columns = {"estimate": estimate, "se": se, "z": z, "p": 2 * stats.norm.sf(np.abs(z))}
    return pd.DataFrame(columns | {"lower": estimate - reach, "upper": estimate + reach}, index=index)
