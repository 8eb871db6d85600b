"""The comparison of slopes: one random-intercept-and-slope model an endpoint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.arm_data import EndpointData, counted, term, varying, with_covariates
from trialscan.statistics.arms import ModelledArms, choose_arms, patients_per_arm
from trialscan.statistics.check import check_random_slope
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.random_slope import fit_random_slope
from trialscan.statistics.records import coefficient_records, result_record
from trialscan.statistics.residuals import residual_rows
from trialscan.statistics.results import MixedModelResult, SlopeCovariance, spread_record
from trialscan.statistics.rows import ResultRow, statistics_rows

DAYS = 28
KIND = "random_slope"


@dataclass(frozen=True)
class SlopeRecords:
    """Records of the modelled arms; `covariates` are those that vary, `terms` the same as a formula writes them."""

    records: pd.DataFrame
    arms: ModelledArms
    covariates: tuple[str, ...]
    terms: tuple[str, ...]
    left_out: Mapping[str, str]


def analyse_slopes(
    data: EndpointData, plan: AnalysisPlan, keep: Callable[[pd.DataFrame], None] | None = None
) -> tuple[list[ResultRow], dict[str, Any], dict[str, str]]:
    """Rows, the model's record, and arm → reason for the arms left out.

    The model is transformed value ~ arm × study day + covariates, over all visits with the baseline among them. `keep`
    is given the fit's rows of residuals.csv.

    Raises
    ------
    StatisticsError : nothing can be compared, and why.
    """
    prepared = modelled_slopes(data, plan)
    modelled, arms = prepared.records, prepared.arms
    formula = " + ".join([f"{data.response('AVAL')} ~ TRT01P * ADY", *prepared.terms])
    result = fit_random_slope(modelled, formula, patient="USUBJID", time="ADY", **plan.slope_options)
    rows = [*_slope_rows(result, data, modelled), *_difference_rows(result, data, arms)]
    if keep is not None:
        keep(residual_rows(result, modelled, f"{data.name}.{KIND}", data.code))
    record = {
        **_heading(data, plan, arms, modelled),
        "covariates": list(prepared.covariates),
        "left_out": {**data.left_out, **prepared.left_out},
        **result_record(result),
        "implied_covariance": _implied_covariance(result, data, modelled),
        "slopes_per_day": coefficient_records(result.slopes("TRT01P")),
        "slope_differences_per_day": coefficient_records(result.slope_differences("TRT01P", arms.reference)),
        "independent_check": check_random_slope(result).record(),
    }
    return rows, record, dict(arms.too_few)


def modelled_slopes(data: EndpointData, plan: AnalysisPlan) -> SlopeRecords:
    """All records of patients whose arm and covariates are known, in the arms that can be compared.

    Raises
    ------
    StatisticsError : nothing can be compared, and why.
    """
    records, left_out = with_covariates(data.records, plan.columns)
    arms = _arms(records, data, plan)
    unassigned = records["TRT01P"].isna()
    if unassigned.any():
        left_out["patients without an arm"] = counted(records["USUBJID"][unassigned])
    modelled = arms.of(records)
    covariates, constant = varying(modelled, plan.columns)
    return SlopeRecords(modelled, arms, covariates, tuple(map(term, covariates)), {**left_out, **constant})


def _arms(records: pd.DataFrame, data: EndpointData, plan: AnalysisPlan) -> ModelledArms:
    """Arms judged by their patients with two or more visits, for a patient seen once says nothing of a slope."""
    if not len(records):
        raise StatisticsError(f"parameter {data.code}", "no records with a value", "values at two or more visits")
    seen = records["USUBJID"].value_counts()
    repeated = pd.Series(sorted(seen.index[seen > 1]), dtype=object)
    what = "patient(s) with two or more visits"
    return choose_arms(patients_per_arm(records, repeated), plan, where=f"parameter {data.code}", what=what)


def _heading(data: EndpointData, plan: AnalysisPlan, arms: ModelledArms, modelled: pd.DataFrame) -> dict[str, Any]:
    return {
        "analysis_id": f"{data.name}.{KIND}",
        "parameter": data.code,
        "label": data.label,
        "model": "random intercept and slope, unstructured G, independent residuals",
        "transform": data.endpoint.transform,
        "alpha": plan.alpha,
        "reference_arm": arms.reference,
        "patients_by_arm": {arm: int(_of(modelled, arm)["USUBJID"].nunique()) for arm in arms.names},
        "observations_by_arm": {arm: len(_of(modelled, arm)) for arm in arms.names},
    }


def _of(modelled: pd.DataFrame, arm: str) -> pd.DataFrame:
    return modelled[modelled["TRT01P"] == arm]


def _implied_covariance(result: MixedModelResult, data: EndpointData, modelled: pd.DataFrame) -> dict[str, Any]:
    """What the model says of the visits, each at the mean study day of its records."""
    covariance = cast("SlopeCovariance", result.covariance)
    mean_day = modelled.groupby("AVISIT")["ADY"].mean()
    visits = [visit for visit in data.visits if visit in mean_day.index]
    days = [float(mean_day[visit]) for visit in visits]
    return {"visits": visits, "study_days": days, **spread_record(covariance.at(days))}


def _slope_rows(result: MixedModelResult, data: EndpointData, modelled: pd.DataFrame) -> list[ResultRow]:
    rows: list[ResultRow] = []
    for arm, slope in result.slopes("TRT01P").iterrows():
        mine = _of(modelled, str(arm))
        sizes = {"n_patients": mine["USUBJID"].nunique(), "n_observations": len(mine)}
        values = {"slope_per_day": slope["estimate"], **_inference(slope)}
        note = f"change of {data.response('value')} a day; {result.inference.method.description}"
        where = {"analysis_id": f"{data.name}.{KIND}", "parameter": data.code, "arm": str(arm)}
        rows += statistics_rows(values=sizes, **where)
        rows += statistics_rows(values=values, note=note, **where)
        if data.endpoint.transform == "log1p":
            note = f"percent change per {DAYS} days of {data.quantity}; {result.inference.method.description}"
            rows += statistics_rows(values=_percent(slope, "percent_change"), note=note, **where)
    return rows


def _difference_rows(result: MixedModelResult, data: EndpointData, arms: ModelledArms) -> list[ResultRow]:
    rows: list[ResultRow] = []
    for arm, slope in result.slope_differences("TRT01P", arms.reference).iterrows():
        values = {"slope_difference_per_day": slope["estimate"], **_inference(slope)}
        change = f"difference from {arms.reference} in the change of {data.response('value')} a day"
        note = f"{change}; {result.inference.method.description}"
        where = {
            "analysis_id": f"{data.name}.{KIND}",
            "parameter": data.code,
            "arm": str(arm),
            "comparator": arms.reference,
        }
        rows += statistics_rows(values=values, note=note, **where)
        if data.endpoint.transform == "log1p":
            note = (
                f"percent by which the ratio per {DAYS} days of {data.quantity} differs from that in "
                f"{arms.reference}; {result.inference.method.description}"
            )
            rows += statistics_rows(values=_percent(slope, "percent_difference"), note=note, **where)
    return rows


def _inference(row: "pd.Series[float]") -> dict[str, float]:
    return {name: row[name] for name in ("se", "df", "t", "p", "lower", "upper")}


def _percent(row: "pd.Series[float]", name: str) -> dict[str, float]:
    """100 (exp(28 slope) − 1), and the same of the interval's ends."""
    return {
        f"{name}_per_{DAYS}_days": float(100 * np.expm1(DAYS * row["estimate"])),
        f"{name}_lower": float(100 * np.expm1(DAYS * row["lower"])),
        f"{name}_upper": float(100 * np.expm1(DAYS * row["upper"])),
    }
