"""A responder analysis that a plan names: who responds at a visit, by arm, and how the arms compare."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.statistics.arm_data import EndpointData, counted
from trialscan.statistics.further.patients import Population, after_start, patient_rows, population, used_data, without
from trialscan.statistics.further.plan import ResponderPlan
from trialscan.statistics.further.responders import ResponderAnalysis, analyse_responders
from trialscan.statistics.plan import AnalysisPlan, EndpointPlan
from trialscan.statistics.records import coefficient_records
from trialscan.statistics.rows import NOT_ESTIMABLE, Analysis, ResultRow, statistics_rows

KIND = "responders"
DIFFERENCE = "Newcombe's hybrid score interval (1998, method 10)"
ODDS = "logistic regression by maximum likelihood, Wald interval and p"


def responder_analysis(table: pd.DataFrame, plan: AnalysisPlan, named: ResponderPlan) -> Analysis:
    """Rows, record, and arm → reason for the arms left out.

    Patients need an arm, a baseline value and the covariates; one without a value at the visit does not respond, or is
    excluded, as the plan says.

    Raises
    ------
    StatisticsError : nothing can be compared, and why.
    """
    data = used_data(table, plan, f"{KIND}.{named.name}", EndpointPlan(named.paramcd, named.transform))
    patients = patient_rows(table, named.paramcd, plan.columns)
    records = after_start(data, patients)
    value = records[records["AVISIT"] == named.visit].set_index("USUBJID")["AVAL"]
    patients = patients.assign(AVAL=patients["USUBJID"].map(value).astype(np.float64))
    patients, left_out = without(patients, _reasons(patients, named))
    found = population(patients.assign(RESPONSE=_response(patients, named)), data, plan, left_out, baseline=True)
    result = analyse_responders(
        found.frame,
        patient="USUBJID",
        arm="TRT01P",
        response="RESPONSE",
        reference=found.arms.reference,
        covariates=found.adjusted,
        alpha=plan.alpha,
    )
    return _rows(result, data, named, found), _record(result, data, plan, named, found), dict(found.arms.too_few)


def definition(named: ResponderPlan, label: str) -> str:
    """Who responds, in words."""
    quantities = {"value": label, "change": f"change of {label} from baseline"}
    quantity = quantities.get(named.quantity, f"percent change of {label} from baseline")
    bound = f"at {'most' if named.at_most is not None else 'least'} {named.bound:g}"
    absent = "does not respond" if named.missing == "nonresponder" else "is excluded"
    return f"{quantity} at {named.visit} is {bound}; a patient without a value at {named.visit} {absent}"


def _reasons(patients: pd.DataFrame, named: ResponderPlan) -> dict[str, "pd.Series[bool]"]:
    reasons = {"patients without a baseline value": patients["BASE"].isna()}
    if named.quantity == "change_percent":
        reasons["patients with a baseline of zero, whose percent change is undefined"] = patients["BASE"] == 0
    if named.missing == "excluded":
        reasons[f"patients without a value at {named.visit}"] = patients["AVAL"].isna()
    return reasons


def _response(patients: pd.DataFrame, named: ResponderPlan) -> NDArray[np.float64]:
    """1 or 0; a comparison with a missing value is 0. Percentages are compared without dividing, exact for counts."""
    value, base = (patients[name].to_numpy(dtype=np.float64) for name in ("AVAL", "BASE"))
    quantity = value if named.quantity == "value" else value - base
    percent = named.quantity == "change_percent"
    quantity, unit = (100.0 * quantity, base) if percent else (quantity, np.ones(len(base)))
    limit = named.bound * unit
    responds = quantity <= limit if named.at_most is not None else quantity >= limit
    return responds.astype(np.float64)


def _rows(result: ResponderAnalysis, data: EndpointData, named: ResponderPlan, found: Population) -> list[ResultRow]:
    at = {"analysis_id": data.name, "parameter": data.code, "visit": named.visit}
    rows: list[ResultRow] = []
    for arm, counts in result.counts.iterrows():
        values = {"patients": counts["patients"], "responders": counts["responders"]}
        values["responder_percent"] = 100 * counts["responders"] / counts["patients"]
        rows += statistics_rows(values=values, note=definition(named, data.label), arm=str(arm), **at)
    adjusted = f"adjusted for {', '.join(found.adjusted)}" if found.adjusted else "not adjusted for covariates"
    for arm, row in result.comparisons.iterrows():
        where = {**at, "arm": str(arm), "comparator": found.arms.reference}
        risk = {name: row[name] for name in ("risk_difference", "risk_difference_lower", "risk_difference_upper")}
        rows += statistics_rows(values=risk, note=f"difference of shares of responders; {DIFFERENCE}", **where)
        rows += statistics_rows(values={"fisher_p": row["fisher_p"]}, note="Fisher's exact test, two-sided", **where)
        if result.absent is None:
            odds = {name: row[name] for name in ("odds_ratio", "odds_ratio_lower", "odds_ratio_upper", "odds_ratio_p")}
            rows += statistics_rows(values=odds, note=f"{ODDS}; {adjusted}", **where)
        else:
            rows.append(ResultRow(statistic=NOT_ESTIMABLE, value=None, note=result.absent, **where))
    return rows


def _record(
    result: ResponderAnalysis, data: EndpointData, plan: AnalysisPlan, named: ResponderPlan, found: Population
) -> dict[str, Any]:
    absent = found.frame["AVAL"].isna()
    return {
        "analysis_id": data.name,
        "kind": KIND,
        "parameter": data.code,
        "label": data.label,
        "visit": named.visit,
        "definition": definition(named, data.label),
        "model": f"{ODDS}; risk difference with {DIFFERENCE}; Fisher's exact test",
        "alpha": plan.alpha,
        "reference_arm": found.arms.reference,
        "patients_by_arm": found.sizes,
        "responders_by_arm": {str(arm): int(count) for arm, count in result.counts["responders"].items()},
        "without_a_value_counted_as_nonresponders": counted(found.frame["USUBJID"][absent]) if absent.any() else None,
        "covariates": list(found.covariates),
        "adjusted_for": list(found.adjusted),
        "left_out": dict(found.left_out),
        "coefficients": None if result.coefficients is None else coefficient_records(result.coefficients),
        "comparisons": coefficient_records(result.comparisons),
        "no_regression": result.absent,
    }
