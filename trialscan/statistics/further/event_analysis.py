"""A time-to-progression analysis that a plan names: the first visit at which a measure has risen enough."""

from typing import Any

import numpy as np
import pandas as pd

from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.further.patients import Population, after_start, patient_rows, population, used_data, without
from trialscan.statistics.further.plan import EventPlan
from trialscan.statistics.further.survival import EventAnalysis, analyse_events
from trialscan.statistics.plan import AnalysisPlan, EndpointPlan
from trialscan.statistics.records import coefficient_records, number, plain
from trialscan.statistics.rows import Analysis, ResultRow, statistics_rows

KIND = "events"
COX = "Cox regression, ties by Efron's method, Wald inference"


def event_analysis(table: pd.DataFrame, plan: AnalysisPlan, named: EventPlan) -> Analysis:
    """Rows, record, and arm → reason for the arms left out.

    Time runs in days from the baseline to the visit that first shows progression, or to the patient's last visit.

    Raises
    ------
    StatisticsError : nothing can be compared, and why.
    """
    data = used_data(table, plan, f"{KIND}.{named.name}", EndpointPlan(named.paramcd, named.transform))
    patients = patient_rows(table, named.paramcd, plan.columns)
    records = after_start(data, patients)
    patients = _timed(patients, records, named)
    reasons = {
        "patients without a baseline value": patients["BASE"].isna(),
        "patients without a value after baseline": patients["DAYS"].isna() & patients["BASE"].notna(),
    }
    patients, left_out = without(patients, reasons)
    found = population(patients, data, plan, left_out, baseline=True)
    result = analyse_events(
        found.frame,
        patient="USUBJID",
        arm="TRT01P",
        time="DAYS",
        event="EVENT",
        reference=found.arms.reference,
        covariates=found.adjusted,
        alpha=plan.alpha,
    )
    return _rows(result, data, named, found), _record(result, data, plan, named, found), dict(found.arms.too_few)


def definition(named: EventPlan, data: EndpointData) -> str:
    """What progression is and how its time is counted, in words."""
    least = "" if named.at_least == 0 else f" and by at least {named.at_least:g} in its own unit"
    above = "its value at baseline"
    if named.above == "nadir":
        above = "its nadir, the least value from the baseline up to the visit before"
    return (
        f"progression: the first visit at which {data.label} is above {above}, by at least "
        f"{named.at_least_percent:g} %{least}; days from the baseline visit to that visit; censored at the last "
        "visit with a value; progression is known at visits only"
    )


def _timed(patients: pd.DataFrame, records: pd.DataFrame, named: EventPlan) -> pd.DataFrame:
    """DAYS from START to the event or the last record, and EVENT 1 or 0; missing where there is no record."""
    reference = records["USUBJID"].map(patients.set_index("USUBJID")["BASE"]).astype(np.float64)
    if named.above == "nadir":
        before = records.groupby("USUBJID")["AVAL"].cummin().groupby(records["USUBJID"]).shift()
        reference = pd.concat([reference, before], axis=1).min(axis=1)
    rise = records["AVAL"] - reference
    enough = (100 * rise >= named.at_least_percent * reference) & (rise >= named.at_least) & (rise > 0)
    days = records["ADY"] - records["START"]
    events = days[enough].groupby(records["USUBJID"]).min()
    last = days.groupby(records["USUBJID"]).max()
    event, end = (patients["USUBJID"].map(each).astype(np.float64) for each in (events, last))
    return patients.assign(DAYS=event.fillna(end), EVENT=event.notna().astype(np.float64))


def _rows(result: EventAnalysis, data: EndpointData, named: EventPlan, found: Population) -> list[ResultRow]:
    at = {"analysis_id": data.name, "parameter": data.code}
    rows: list[ResultRow] = []
    for arm, mine in found.frame.groupby("TRT01P", observed=True):
        sizes = {"patients": len(mine), "events": mine["EVENT"].sum()}
        rows += statistics_rows(values=sizes, note=definition(named, data), arm=str(arm), **at)
        for end, days in zip(result.medians.columns, result.medians.loc[[str(arm)]].to_numpy()[0], strict=True):
            known = number(days)
            note = "Kaplan–Meier, log(−log) interval" if known is not None else "Kaplan–Meier: not reached"
            statistic = "median_days" if end == "median" else f"median_days_{end}"
            rows.append(ResultRow(statistic=statistic, value=known, arm=str(arm), note=note, **at))
    test = dict(zip(("logrank_chi2", "logrank_df", "logrank_p"), result.logrank, strict=True))
    rows += statistics_rows(values=test, note="log-rank test of all arms, not adjusted for covariates", **at)
    adjusted = f"adjusted for {', '.join(found.adjusted)}" if found.adjusted else "not adjusted for covariates"
    for name, ratio in result.hazard_ratios.iterrows():
        values = {"hazard_ratio": ratio["estimate"], **{key: ratio[key] for key in ("lower", "upper", "p")}}
        where = {**at, "arm": str(name), "comparator": found.arms.reference}
        rows += statistics_rows(values=values, note=f"{COX}; {adjusted}", **where)
    return rows


def _record(
    result: EventAnalysis, data: EndpointData, plan: AnalysisPlan, named: EventPlan, found: Population
) -> dict[str, Any]:
    chi2, df, p = result.logrank
    events = found.frame.groupby("TRT01P", observed=True)["EVENT"].sum()
    curves = result.kaplan_meier.reset_index().to_dict("records")
    return {
        "analysis_id": data.name,
        "kind": KIND,
        "parameter": data.code,
        "label": data.label,
        "definition": definition(named, data),
        "model": f"Kaplan–Meier; log-rank test; {COX}",
        "alpha": plan.alpha,
        "reference_arm": found.arms.reference,
        "patients_by_arm": found.sizes,
        "events_by_arm": {str(arm): int(count) for arm, count in events.items()},
        "covariates": list(found.covariates),
        "adjusted_for": list(found.adjusted),
        "left_out": dict(found.left_out),
        "medians": coefficient_records(result.medians),
        "logrank": {"chi2": number(chi2), "df": df, "p": number(p)},
        "coefficients": coefficient_records(result.coefficients),
        "hazard_ratios": coefficient_records(result.hazard_ratios),
        "kaplan_meier": plain(curves),
    }
