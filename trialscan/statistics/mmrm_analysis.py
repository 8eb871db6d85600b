"""Change from baseline at every visit from one MMRM an endpoint: adjusted means by arm and visit, and differences."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.adjusted import difference_rows, mean_rows
from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.arms import ModelledArms, patients_per_arm
from trialscan.statistics.changes import Changes, changes_from_baseline
from trialscan.statistics.mmrm import fit_mmrm
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.records import coefficient_records, result_record
from trialscan.statistics.residuals import residual_rows
from trialscan.statistics.rows import NOT_ESTIMABLE, ResultRow

KIND = "mmrm"


def analyse_visits(
    data: EndpointData, plan: AnalysisPlan, keep: Callable[[pd.DataFrame], None] | None = None
) -> tuple[list[ResultRow], dict[str, Any], dict[str, str]]:
    """Rows, the model's record, and arm → reason for the arms left out.

    The model is transformed change ~ (arm + transformed baseline) × visit + covariates over the visits after baseline,
    with the plan's covariance path and degrees of freedom. `keep` is given the fit's rows of residuals.csv.

    Raises
    ------
    StatisticsError : nothing can be compared, and why.
    """
    where = f"parameter {data.code}"
    changes = changes_from_baseline(
        data.after_baseline(), data, plan, where=where, what="patient(s) with a baseline and a value after it"
    )
    modelled, arms = changes.records, changes.arms
    visits = [visit for visit in data.visits if visit in set(modelled["AVISIT"])]
    if len(visits) < 2:
        raise StatisticsError(where, f"{len(visits)} visit(s) after baseline", "two or more for an MMRM")
    formula = " + ".join([f"{changes.outcome} ~ TRT01P * AVISIT + {changes.base} * AVISIT", *changes.terms])
    result = fit_mmrm(
        modelled,
        formula,
        patient="USUBJID",
        visit="AVISIT",
        visit_order=visits,
        drop_aliased=True,
        **plan.mmrm_options,
    )
    if keep is not None:
        keep(residual_rows(result, modelled, f"{data.name}.{KIND}", data.code))
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
        "covariates": list(changes.covariates),
        "left_out": {**data.left_out, **changes.left_out},
        **result_record(result),
        "averaging": means.attrs["averaging"],
        "adjusted_means": coefficient_records(_flat(means)),
        "differences": coefficient_records(_flat(differences)),
    }
    remarks = f"adjusted means {means.attrs['averaging']}; {result.inference.method.description}"
    rows = [*_rows(means, differences, data, changes, remarks), *_empty_visits(data, visits, arms)]
    place = {visit: number for number, visit in enumerate(data.planned_visits())}
    return sorted(rows, key=lambda row: place[row.visit]), record, dict(arms.too_few)


def _empty_visits(data: EndpointData, modelled: Sequence[str], arms: ModelledArms) -> list[ResultRow]:
    """The comparisons at visits where nobody has a value, so that no other visit takes the place of the last one."""
    analysis_id, why = f"{data.name}.{KIND}", "no patient of any arm has a value"
    return [
        ResultRow(analysis_id, data.code, NOT_ESTIMABLE, None, visit, arm, arms.reference, why)
        for visit in data.planned_visits()
        if visit not in modelled
        for arm in arms.names[1:]
    ]


def _rows(
    means: pd.DataFrame, differences: pd.DataFrame, data: EndpointData, changes: Changes, remarks: str
) -> list[ResultRow]:
    arms = changes.arms
    sizes = changes.records.groupby(["TRT01P", "AVISIT"], observed=True).size()
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
