"""Scaled residuals of mixed models: marginal residuals rid of the spread and correlation that the model gives them."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from trialscan.errors import StatisticsError
from trialscan.statistics.design import Design
from trialscan.statistics.mmrm.design import VisitDesign
from trialscan.statistics.results import MixedModelResult, SlopeCovariance, VisitCovariance

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
CovarianceOf = Callable[[Rows], Array]

RESIDUAL_COLUMNS = (
    "analysis_id",
    "parameter",
    "arm",
    "patient_id",
    "visit",
    "study_day",
    "fitted",
    "residual",
    "scaled_residual",
    "normal_quantile",
)
_NUMBERS = ("study_day", "fitted", "residual", "scaled_residual", "normal_quantile")


def scaled_residuals(result: MixedModelResult) -> pd.DataFrame:
    """A row each row of the model, by patient and time: patient, visit or time, fitted, residual, scaled_residual.

    `fitted` is X b and `residual` r = y − X b. Where V = L L' is the estimated covariance of a patient's outcomes in
    time order, L lower triangular, `scaled_residual` is L^-1 r (Fitzmaurice, Laird & Ware 2011, section 10.3; VCIRY of
    SAS PROC MIXED; nlme's "normalized" residuals): under the model each has variance 1, and they are uncorrelated.

    Raises
    ------
    StatisticsError : a model of one row a patient; a patient whose covariance is not positive definite.
    """
    design, covariance = result.design, result.covariance
    if isinstance(design, VisitDesign) and isinstance(covariance, VisitCovariance):
        patient_of_row, of_rows = design.patient_of_row, _over_visits(design, covariance)
        when = {"visit": np.array(design.visits, dtype=object)[design.visit_of_row]}
    elif isinstance(design, Design) and isinstance(covariance, SlopeCovariance):
        sizes = np.diff(design.first_row, append=len(design.y))
        patient_of_row, of_rows = np.repeat(np.arange(len(sizes)), sizes), _over_times(design, covariance)
        when = {"time": design.time}
    else:
        raise StatisticsError(f"formula {result.formula!r}", "no repeated measures", "an MMRM or a random-slope model")
    with threadpool_limits(limits=1, user_api="blas"):
        fitted = design.X @ result.beta
        residual = design.y - fitted
        scaled = np.empty_like(residual)
        for rows in _by_size(patient_of_row):
            scaled[rows] = _whitened(of_rows(rows), residual[rows], design.patients, patient_of_row[rows[:, 0]])
    patient = np.array(design.patients, dtype=object)[patient_of_row]
    return pd.DataFrame({"patient": patient, **when, "fitted": fitted, "residual": residual, "scaled_residual": scaled})


def residual_rows(result: MixedModelResult, modelled: pd.DataFrame, analysis_id: str, parameter: str) -> pd.DataFrame:
    """Rows of residuals.csv: the scaled residuals of one fit with arm, visit and study day of the `modelled` records.

    `normal_quantile` is what a standard normal sample of this size gives on average for a value of that rank: the
    quantile at (rank − 3/8) / (n + 1/4) (Blom 1958); equal values share their mean rank.
    """
    known = modelled[["USUBJID", "AVISIT", "ADY", "TRT01P"]].set_axis(
        ["patient_id", "visit", "study_day", "arm"], axis=1
    )
    found = scaled_residuals(result).rename(columns={"patient": "patient_id", "time": "study_day"})
    on = ["patient_id", "visit" if "visit" in found else "study_day"]
    table = found.merge(known.astype({"arm": object}), on=on, how="left", validate="one_to_one")
    ranks = stats.rankdata(table["scaled_residual"])
    table["normal_quantile"] = stats.norm.ppf((ranks - 0.375) / (len(table) + 0.25))
    return table.assign(analysis_id=analysis_id, parameter=parameter)[list(RESIDUAL_COLUMNS)]


def residuals_table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all fits as one table with the columns and types of residuals.csv."""
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(RESIDUAL_COLUMNS))
    return table.astype({name: "float64" if name in _NUMBERS else "object" for name in RESIDUAL_COLUMNS})


def _by_size(patient_of_row: Rows) -> Iterator[Rows]:
    """Row numbers (k, n) of the patients who have n rows, for every n; a patient's rows stand together."""
    first = np.flatnonzero(np.diff(patient_of_row, prepend=-1))
    sizes = np.diff(first, append=len(patient_of_row))
    for size in np.unique(sizes):
        yield first[sizes == size][:, None] + np.arange(size)


def _over_visits(design: VisitDesign, covariance: VisitCovariance) -> CovarianceOf:
    """V of an MMRM: the group's S at the visits seen, divided by the roots of the rows' weights."""
    S = np.stack([covariance.matrices[group] for group in design.groups])
    root = np.sqrt(design.weights)

    def of_rows(rows: Rows) -> Array:
        group, visit = design.group_of_patient[design.patient_of_row[rows[:, 0]]], design.visit_of_row[rows]
        values = S[group[:, None, None], visit[:, :, None], visit[:, None, :]]
        return np.asarray(values / (root[rows][:, :, None] * root[rows][:, None, :]))

    return of_rows


def _over_times(design: Design, covariance: SlopeCovariance) -> CovarianceOf:
    """V = Z G Z' + s2 I of a random intercept and slope at each patient's own times."""
    return lambda rows: covariance.at(design.time[rows])


def _whitened(V: Array, residual: Array, patients: tuple[str, ...], who: Rows) -> Array:
    """L^-1 r for the residuals (k, n) of k patients, V (k, n, n) = L L'."""
    try:
        return np.asarray(np.linalg.solve(np.linalg.cholesky(V), residual[..., None])[..., 0])
    except np.linalg.LinAlgError as error:
        least = np.linalg.eigvalsh(V)[:, 0] / np.trace(V, axis1=1, axis2=2)
        name = patients[who[int(np.argmin(least))]]
        raise StatisticsError(f"patient {name}", "a covariance that is not positive definite", "one that is") from error
