"""Visit-wise differences of arms: analysis of covariance at each visit after baseline, by ordinary least squares."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS

from trialscan.errors import StatisticsError
from trialscan.statistics.adjusted import difference_rows, mean_rows
from trialscan.statistics.ancova_check import check_ancova
from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.changes import changes_from_baseline
from trialscan.statistics.design import CrossDesign, build_cross_design
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.records import coefficient_records, matrix, number
from trialscan.statistics.rows import ResultRow

Array = NDArray[np.float64]
KIND = "ancova"
INFERENCE = "exact t of ordinary least squares, residual degrees of freedom"
AVERAGING = "adjusted means average over the modelled patients' covariates as observed"


@dataclass(frozen=True)
class AncovaFit:
    """A fitted analysis of covariance.

    coefficients, adjusted_means (a row an arm) and differences (a row each other arm, from the reference): tables with
    estimate, se, df, t, p, lower, upper, all of the change on the scale of analysis.
    """

    formula: str
    coefficients: pd.DataFrame
    adjusted_means: pd.DataFrame
    differences: pd.DataFrame
    vcov: Array
    sigma2: float
    df: float


def fit_ancova(frame: pd.DataFrame, formula: str, *, arms: tuple[str, ...], alpha: float) -> AncovaFit:
    """Least squares of `formula` with factor TRT01P, its first arm the reference.

    Raises
    ------
    StatisticsError : aliased columns, a constant outcome, no residual degrees of freedom.
    """
    design = build_cross_design(frame, formula, patient="USUBJID")
    if len(design.y) <= design.X.shape[1]:
        raise StatisticsError(
            f"formula {formula!r}", f"{len(design.y)} patients for {design.X.shape[1]} coefficients", "more patients"
        )
    fitted = OLS(design.y, design.X).fit()
    means = {arm: _mean_row(design, arm, arms) for arm in arms}
    differences = {arm: means[arm] - means[arms[0]] for arm in arms[1:]}

    def table(weights: Array, names: tuple[str, ...]) -> pd.DataFrame:
        test = fitted.t_test(weights)
        bounds = np.asarray(test.conf_int(alpha=alpha))
        values = {
            "estimate": np.atleast_1d(test.effect),
            "se": np.atleast_1d(test.sd.squeeze()),
            "df": float(fitted.df_resid),
            "t": np.atleast_1d(test.tvalue.squeeze()),
            "p": np.atleast_1d(test.pvalue),
            "lower": bounds[:, 0],
            "upper": bounds[:, 1],
        }
        return pd.DataFrame(values, index=pd.Index(names, name="name"))

    return AncovaFit(
        formula=formula,
        coefficients=table(np.eye(len(design.names)), design.names),
        adjusted_means=table(np.array(list(means.values())), arms),
        differences=table(np.array(list(differences.values())), arms[1:]),
        vcov=np.asarray(fitted.cov_params(), dtype=np.float64),
        sigma2=float(fitted.scale),
        df=float(fitted.df_resid),
    )


def visits_after_baseline(data: EndpointData) -> tuple[str, ...]:
    """Visits, in order, with a record after its patient's baseline."""
    after = set(data.after_baseline()["AVISIT"])
    return tuple(visit for visit in data.visits if visit in after)


def chosen_visits(data: EndpointData, plan: AnalysisPlan) -> tuple[str, ...]:
    """The visits that the plan names; where it names none, all beside random slopes and no visit beside an MMRM."""
    if plan.ancova is not None:
        return plan.ancova
    return visits_after_baseline(data) if plan.model == "random_slope" else ()


def analyse_visit(
    data: EndpointData, plan: AnalysisPlan, visit: str
) -> tuple[list[ResultRow], dict[str, Any], dict[str, str]]:
    """Rows, the model's record and arm → reason for arms left out: transformed change ~ arm + baseline + covariates.

    Raises
    ------
    StatisticsError : nothing can be compared at this visit, and why.
    """
    records = data.after_baseline()
    changes = changes_from_baseline(
        records[records["AVISIT"] == visit].reset_index(drop=True),
        data,
        plan,
        where=f"parameter {data.code}, visit {visit}",
        what="patient(s) with a value and a baseline",
    )
    modelled, arms = changes.records, changes.arms
    formula = " + ".join([f"{changes.outcome} ~ TRT01P + {changes.base}", *changes.terms])
    fit = fit_ancova(modelled, formula, arms=arms.names, alpha=plan.alpha)
    log = data.endpoint.transform == "log1p"
    check = check_ancova(modelled, changes.covariates, fit.adjusted_means, fit.differences, log=log)
    record = {
        "analysis_id": f"{data.name}.{KIND}",
        "parameter": data.code,
        "label": data.label,
        "visit": visit,
        "model": "analysis of covariance, ordinary least squares",
        "transform": data.endpoint.transform,
        "alpha": plan.alpha,
        "reference_arm": arms.reference,
        "patients_by_arm": {arm: int((modelled["TRT01P"] == arm).sum()) for arm in arms.names},
        "covariates": list(changes.covariates),
        "left_out": dict(changes.left_out),
        **_fit_record(fit),
        "independent_check": check.record(),
    }
    return _rows(fit, data, visit, modelled), record, dict(arms.too_few)


def _mean_row(design: CrossDesign, arm: str, arms: tuple[str, ...]) -> Array:
    rows = design.frame.assign(TRT01P=pd.Categorical([arm] * len(design.frame), categories=arms))
    return np.asarray(np.mean(design.matrix(rows), axis=0))


def _fit_record(fit: AncovaFit) -> dict[str, Any]:
    return {
        "formula": fit.formula,
        "estimation": "least squares",
        "inference": INFERENCE,
        "averaging": AVERAGING,
        "coefficients": coefficient_records(fit.coefficients),
        "vcov": matrix(fit.vcov),
        "sigma2": number(fit.sigma2),
        "df": number(fit.df),
        "adjusted_means": coefficient_records(fit.adjusted_means),
        "differences": coefficient_records(fit.differences),
    }


def _rows(fit: AncovaFit, data: EndpointData, visit: str, modelled: pd.DataFrame) -> list[ResultRow]:
    at = {"analysis_id": f"{data.name}.{KIND}", "parameter": data.code, "visit": visit}
    reference = str(fit.adjusted_means.index[0])
    rows: list[ResultRow] = []
    for arm, mean in fit.adjusted_means.iterrows():
        size = int((modelled["TRT01P"] == arm).sum())
        rows += mean_rows(mean, size, data, at | {"arm": str(arm)}, f"{AVERAGING}; {INFERENCE}")
    for arm, difference in fit.differences.iterrows():
        rows += difference_rows(difference, data, at | {"arm": str(arm), "comparator": reference}, INFERENCE)
    return rows
