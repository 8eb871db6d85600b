"""All patients of a comparison at every visit after baseline, as imputation needs them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.arm_data import EndpointData, counted, with_covariates
from trialscan.statistics.arms import ModelledArms
from trialscan.statistics.changes import Changes, changes_from_baseline
from trialscan.statistics.estimand import first_affected
from trialscan.statistics.plan import AnalysisPlan

OUTCOME, BASELINE, AFFECTED = "change", "baseline", "first_affected"


@dataclass(frozen=True)
class FullGrid:
    """A row for each patient and visit: USUBJID, TRT01P, AVISIT, `change` and `baseline` on the scale of analysis,
    `first_affected` and the covariates. `formula` is the imputation model; `left_out` says who has no rows, and why.
    """

    table: pd.DataFrame
    visits: tuple[str, ...]
    arms: ModelledArms
    covariates: tuple[str, ...]
    formula: str
    left_out: Mapping[str, str]


def full_grid(data: EndpointData, used: EndpointData, plan: AnalysisPlan) -> FullGrid:
    """Every patient of the modelled arms with a baseline and covariates, those without a later outcome included.

    Raises
    ------
    StatisticsError : fewer than two visits, or nothing to compare.
    """
    where = f"parameter {data.code}"
    records = used.after_baseline()
    changes = changes_from_baseline(
        records, data, plan, where=where, what="patient(s) with a baseline and a value after it"
    )
    visits = tuple(visit for visit in data.visits if visit in set(changes.records["AVISIT"]))
    if len(visits) < 2:
        raise StatisticsError(where, f"{len(visits)} visit(s) after baseline", "two or more for imputation")
    patients, left_out = _patients(data, plan, changes)
    table = patients.merge(pd.DataFrame({"AVISIT": visits}), how="cross")
    value = table.merge(records[["USUBJID", "AVISIT", "AVAL"]], how="left", on=["USUBJID", "AVISIT"])["AVAL"]
    table[BASELINE] = _scaled(table["BASE"], data)
    table[OUTCOME] = _scaled(value, data) - table[BASELINE]
    table[AFFECTED] = table["USUBJID"].map(first_affected(data, visits, plan.estimand))
    terms = " + ".join([f"{OUTCOME} ~ TRT01P * AVISIT + {BASELINE} * AVISIT", *changes.terms])
    return FullGrid(table, visits, changes.arms, changes.covariates, terms, {**changes.left_out, **left_out})


def _patients(data: EndpointData, plan: AnalysisPlan, changes: Changes) -> tuple[pd.DataFrame, dict[str, str]]:
    """A row a patient: arm, baseline value and covariates."""
    columns = ["USUBJID", "TRT01P", "BASE", *plan.columns]
    every = data.rows.sort_values(["USUBJID", "AVISITN"])[columns].groupby("USUBJID", as_index=False).first()
    known, left_out = with_covariates(every[every["TRT01P"].isin(changes.arms.names)], plan.columns)
    without = known["BASE"].isna()
    if without.any():
        left_out["patients without a baseline value"] = counted(known["USUBJID"][without])
    known = known[~without]
    for name in changes.covariates:
        if isinstance(known[name].dtype, pd.CategoricalDtype):
            unknown = ~known[name].isin(set(changes.records[name]))
            if unknown.any():
                reason = f"patients whose {name} nobody with an outcome has"
                left_out[reason] = counted(known["USUBJID"][unknown])
                known = known[~unknown]
    return known.reset_index(drop=True), left_out


def _scaled(values: "pd.Series[float]", data: EndpointData) -> "pd.Series[float]":
    return values.map(np.log1p) if data.endpoint.transform == "log1p" else values
