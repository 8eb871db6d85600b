"""A count analysis that a plan names: events by patient over the time they were looked for, as rates by arm."""

from typing import Any

import numpy as np
import pandas as pd

from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.further.counts import CountAnalysis, analyse_counts
from trialscan.statistics.further.patients import Population, after_start, patient_rows, population, used_data, without
from trialscan.statistics.further.plan import CountPlan
from trialscan.statistics.plan import AnalysisPlan, EndpointPlan
from trialscan.statistics.records import coefficient_records, number
from trialscan.statistics.rows import Analysis, ResultRow, statistics_rows

KIND = "counts"
DAYS_PER_YEAR = 365.25


def count_analysis(table: pd.DataFrame, plan: AnalysisPlan, named: CountPlan) -> Analysis:
    """Rows, record, and arm → reason for the arms left out.

    A patient's count is the sum over the visits after baseline that have one, up to the plan's visit; each counts what
    came since the last visit with one. The exposure runs from the baseline to the last of these visits.

    Raises
    ------
    StatisticsError : nothing can be compared, and why.
    """
    data = used_data(table, plan, f"{KIND}.{named.name}", EndpointPlan(named.paramcd, "none"))
    patients = patient_rows(table, named.paramcd, plan.columns)
    records = _up_to(after_start(data, patients), data, named)
    counts = records.groupby("USUBJID")["AVAL"].sum()
    last = records.groupby("USUBJID")["ADY"].max()
    patients = patients.assign(
        COUNT=patients["USUBJID"].map(counts).astype(np.float64),
        YEARS=(patients["USUBJID"].map(last).astype(np.float64) - patients["START"]) / DAYS_PER_YEAR,
    )
    reasons = {
        "patients without a baseline visit": patients["START"].isna(),
        "patients without a count after baseline": patients["COUNT"].isna() & patients["START"].notna(),
    }
    patients, left_out = without(patients, reasons)
    found = population(patients, data, plan, left_out, baseline=False)
    result = analyse_counts(
        found.frame,
        patient="USUBJID",
        arm="TRT01P",
        count="COUNT",
        exposure="YEARS",
        reference=found.arms.reference,
        covariates=found.adjusted,
        alpha=plan.alpha,
    )
    return _rows(result, data, named, found), _record(result, data, plan, named, found), dict(found.arms.too_few)


def _up_to(records: pd.DataFrame, data: EndpointData, named: CountPlan) -> pd.DataFrame:
    """The records up to the plan's visit, in the order of visits."""
    if named.visit is None:
        return records
    counted = data.visits[: data.visits.index(named.visit) + 1] if named.visit in data.visits else ()
    return records[records["AVISIT"].isin(counted)]


def _rows(result: CountAnalysis, data: EndpointData, named: CountPlan, found: Population) -> list[ResultRow]:
    at = {"analysis_id": data.name, "parameter": data.code, "visit": named.visit or ""}
    rows: list[ResultRow] = []
    for arm, mine in found.frame.groupby("TRT01P", observed=True):
        count, years = float(mine["COUNT"].sum()), float(mine["YEARS"].sum())
        values = {"patients": len(mine), "events": count, "exposure_years": years, "rate_per_year": count / years}
        observed, expected = result.zeros.loc[[str(arm)], ["observed", "expected"]].to_numpy(np.float64)[0]
        values |= {"zeros_observed": observed, "zeros_expected": expected}
        rows += statistics_rows(values=values, note=_period(named), arm=str(arm), **at)
    adjusted = f"adjusted for {', '.join(found.adjusted)}" if found.adjusted else "not adjusted for covariates"
    for name, ratio in result.rate_ratios.iterrows():
        values = {"rate_ratio": ratio["estimate"], **{key: ratio[key] for key in ("lower", "upper", "p")}}
        note = f"{result.model} regression with log exposure as offset, Wald inference; {adjusted}"
        rows += statistics_rows(values=values, note=note, arm=str(name), comparator=found.arms.reference, **at)
    dispersion = {"dispersion": result.dispersion, "overdispersion_p": result.overdispersion_p}
    rows += statistics_rows(values=dispersion, note=result.on_dispersion, **at)
    inflation = {"zero_inflation_chi2": result.zero_inflation_chi2, "zero_inflation_p": result.zero_inflation_p}
    return [*rows, *statistics_rows(values=inflation, note=result.on_zeros, **at)]


def _period(named: CountPlan) -> str:
    end = f"{named.visit}, or the patient's last visit before it" if named.visit else "the patient's last visit"
    return f"counted from the baseline to {end}"


def _record(
    result: CountAnalysis, data: EndpointData, plan: AnalysisPlan, named: CountPlan, found: Population
) -> dict[str, Any]:
    return {
        "analysis_id": data.name,
        "kind": KIND,
        "parameter": data.code,
        "label": data.label,
        "definition": f"{data.label}, {_period(named)}; exposure in years of {DAYS_PER_YEAR:g} days",
        "model": f"{result.model} regression, log link, log exposure as offset, maximum likelihood",
        "alpha": plan.alpha,
        "reference_arm": found.arms.reference,
        "patients_by_arm": found.sizes,
        "covariates": list(found.covariates),
        "adjusted_for": list(found.adjusted),
        "left_out": dict(found.left_out),
        "coefficients": coefficient_records(result.coefficients),
        "rate_ratios": coefficient_records(result.rate_ratios),
        "dispersion": number(result.dispersion),
        "overdispersion_p": number(result.overdispersion_p),
        "zeros": coefficient_records(result.zeros),
        "zero_inflation_chi2": number(result.zero_inflation_chi2),
        "zero_inflation_p": number(result.zero_inflation_p),
        "findings": [result.on_dispersion, result.on_zeros],
        "minus2loglik": number(result.minus2loglik),
    }
