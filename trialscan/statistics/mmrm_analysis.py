"""Change from baseline at every visit from one MMRM an endpoint: adjusted means by arm and visit, and differences."""

from typing import Any

import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.adjusted import difference_rows, mean_rows
from trialscan.statistics.arm_data import EndpointData, counted, term, varying, with_covariates
from trialscan.statistics.arms import ModelledArms, choose_arms, patients_per_arm
from trialscan.statistics.mmrm import fit_mmrm
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.records import coefficient_records, result_record
from trialscan.statistics.results import MixedModelResult
from trialscan.statistics.rows import ResultRow

KIND = "mmrm"


def analyse_visits(data: EndpointData, plan: AnalysisPlan) -> tuple[list[ResultRow], dict[str, Any], dict[str, str]]:
    """Rows, the model's record, and arm → reason for the arms left out.

    The model is transformed change ~ (arm + transformed baseline) × visit + covariates over the visits after baseline,
    with the plan's covariance path and degrees of freedom.

    Raises
    ------
    StatisticsError : nothing can be compared, and why.
    """
    records, left_out = with_covariates(data.after_baseline(), plan.columns)
    for reason, absent in {
        "patients without a baseline value": records["BASE"].isna(),
        "patients without an arm": records["TRT01P"].isna(),
    }.items():
        if absent.any():
            left_out[reason] = counted(records["USUBJID"][absent])
    present = records[records["BASE"].notna()].reset_index(drop=True)
    where, what = f"parameter {data.code}", "patient(s) with a baseline and a value after it"
    every = {str(arm): 0 for arm in sorted(data.records["TRT01P"].dropna().unique())}
    arms = choose_arms(every | patients_per_arm(present, present["USUBJID"]), plan, where=where, what=what)
    modelled = arms.of(present)
    visits = [visit for visit in data.visits if visit in set(modelled["AVISIT"])]
    if len(visits) < 2:
        raise StatisticsError(where, f"{len(visits)} visit(s) after baseline", "two or more for an MMRM")
    covariates, constant = varying(modelled, plan.columns)
    value, base = data.response("AVAL"), data.response("BASE")
    formula = " + ".join([f"{{{value} - {base}}} ~ TRT01P * AVISIT + {base} * AVISIT", *map(term, covariates)])
    result = fit_mmrm(
        modelled,
        formula,
        patient="USUBJID",
        visit="AVISIT",
        visit_order=visits,
        covariance=plan.covariance,
        df=plan.df,
        alpha=plan.alpha,
    )
    means = result.lsmeans(("TRT01P", "AVISIT"))
    differences = result.lsmeans_differences("TRT01P", "AVISIT", reference=arms.reference)
    record = {
        "analysis_id": f"{data.name}.{KIND}",
        "parameter": data.code,
        "label": data.label,
        "model": f"MMRM, {result.covariance.record()['label']} covariance",
        "transform": data.endpoint.transform,
        "alpha": plan.alpha,
        "reference_arm": arms.reference,
        "patients_by_arm": patients_per_arm(modelled, modelled["USUBJID"]),
        "covariates": list(covariates),
        "left_out": {**data.left_out, **left_out, **constant},
        **result_record(result),
        "averaging": means.attrs["averaging"],
        "adjusted_means": coefficient_records(_flat(means)),
        "differences": coefficient_records(_flat(differences)),
    }
    return _rows(result, data, arms, modelled), record, dict(arms.too_few)


def _rows(result: MixedModelResult, data: EndpointData, arms: ModelledArms, modelled: pd.DataFrame) -> list[ResultRow]:
    means = result.lsmeans(("TRT01P", "AVISIT"))
    differences = result.lsmeans_differences("TRT01P", "AVISIT", reference=arms.reference)
    sizes = modelled.groupby(["TRT01P", "AVISIT"], observed=True).size()
    remarks = f"adjusted means {means.attrs['averaging']}; {result.inference.description}"
    rows: list[ResultRow] = []
    for visit in means.index.unique(level="AVISIT"):
        at = {"analysis_id": f"{data.name}.{KIND}", "parameter": data.code, "visit": str(visit)}
        for arm in arms.names:
            size = int(sizes.get((arm, visit), 0))
            rows += mean_rows(means.loc[(arm, visit)], size, data, at | {"arm": arm}, remarks)
        for arm in arms.names[1:]:
            mine = at | {"arm": arm, "comparator": arms.reference}
            rows += difference_rows(differences.loc[(arm, visit)], data, mine, remarks)
    return rows


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_axis([", ".join(map(str, key)) for key in table.index])
