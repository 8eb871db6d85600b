"""The primary comparison in every level of a covariate: one model with the interaction, and the test of it.

The model is the plan's own with the subgroup's factor and all its interactions with arm and time added, so that every
level has its own difference of arms while covariance and covariates are shared; the F test asks whether these
differences are the same in all levels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.arm_data import EndpointData, term
from trialscan.statistics.arms import ModelledArms
from trialscan.statistics.changes import changes_from_baseline
from trialscan.statistics.check import check_random_slope
from trialscan.statistics.further.patients import used_data
from trialscan.statistics.further.plan import SubgroupPlan
from trialscan.statistics.further.subgroup_levels import with_levels
from trialscan.statistics.lsmeans import differences, reference_grid
from trialscan.statistics.mmrm import fit_mmrm
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.random_slope import fit_random_slope
from trialscan.statistics.records import number, result_record
from trialscan.statistics.results import MixedModelResult
from trialscan.statistics.rows import NOT_ESTIMABLE, Analysis, ResultRow
from trialscan.statistics.slope_analysis import modelled_slopes

Array = NDArray[np.float64]
NUMBERS = ("estimate", "se", "df", "lower", "upper", "p")


@dataclass(frozen=True)
class _Fitted:
    """A fit with the interaction: weights of each (arm, level) difference, and what it is called."""

    result: MixedModelResult
    records: pd.DataFrame
    arms: ModelledArms
    left_out: Mapping[str, str]
    factor: str
    weights: Mapping[tuple[str, str], Array]
    statistic: str
    visit: str


def subgroup_analysis(
    table: pd.DataFrame, plan: AnalysisPlan, subgroup: SubgroupPlan, models: Sequence[Mapping[str, Any]]
) -> Analysis:
    """Rows, record, and arm → reason for the arms left out; `models` are the records of the plan's own models.

    Raises
    ------
    StatisticsError : the column holds numbers and the plan no cuts; fewer than two levels with enough patients in every
        arm; a model that cannot be fitted.
    """
    data = used_data(table, plan, "primary", plan.named_endpoints["primary"])
    data, factor, left_out = with_levels(data, subgroup, plan)
    inside = replace(plan, covariates=tuple(name for name in plan.covariates if name.upper() != factor))
    fitted = (_slopes if plan.model == "random_slope" else _changes)(data, inside, factor)
    fitted = replace(fitted, left_out={**left_out, **fitted.left_out})
    record = _record(fitted, data, plan, subgroup) | {"overall": _overall(fitted, plan, models)}
    return _rows(record, fitted), record, dict(fitted.arms.too_few)


def _slopes(data: EndpointData, plan: AnalysisPlan, factor: str) -> _Fitted:
    """Random intercepts and slopes: value ~ arm × day × subgroup + covariates."""
    modelled = modelled_slopes(data, plan)
    formula = " + ".join([f"{data.response('AVAL')} ~ TRT01P * ADY * {term(factor)}", *modelled.terms])
    result = fit_random_slope(modelled.records, formula, patient="USUBJID", time="ADY", **plan.slope_options)
    at = [reference_grid(result.design, ("TRT01P", factor), "equal", {"ADY": float(day)}) for day in (0, 1)]
    away = differences(replace(at[1], weights=at[1].weights - at[0].weights), modelled.arms.reference)
    weights = {(str(arm), str(level)): row for (arm, level), row in zip(away.index, away.weights, strict=True)}
    return _Fitted(
        result, modelled.records, modelled.arms, modelled.left_out, factor, weights, "slope_difference_per_day", ""
    )


def _changes(data: EndpointData, plan: AnalysisPlan, factor: str) -> _Fitted:
    """MMRM: change ~ arm × visit × subgroup + baseline × visit + covariates; differences at the last visit."""
    what = "patient(s) with a baseline and a value after it"
    changes = changes_from_baseline(data.after_baseline(), data, plan, where=f"parameter {data.code}", what=what)
    visits = [visit for visit in data.visits if visit in set(changes.records["AVISIT"])]
    fixed = f"{changes.outcome} ~ TRT01P * AVISIT * {term(factor)} + {changes.base} * AVISIT"
    result = fit_mmrm(
        changes.records,
        " + ".join([fixed, *changes.terms]),
        patient="USUBJID",
        visit="AVISIT",
        visit_order=visits,
        drop_aliased=True,
        **plan.mmrm_options,
    )
    grid = reference_grid(result.design, ("TRT01P", "AVISIT", factor), "equal", {})
    away = differences(grid, changes.arms.reference)
    weights = {
        (str(arm), str(level)): row
        for (arm, visit, level), row in zip(away.index, away.weights, strict=True)
        if visit == visits[-1]
    }
    name = "adjusted_mean_difference"
    return _Fitted(result, changes.records, changes.arms, changes.left_out, factor, weights, name, visits[-1])


def _record(fitted: _Fitted, data: EndpointData, plan: AnalysisPlan, subgroup: SubgroupPlan) -> dict[str, Any]:
    factor = fitted.factor
    table = fitted.result.contrasts({f"{arm}, {level}": row for (arm, level), row in fitted.weights.items()})
    patients = fitted.records.drop_duplicates("USUBJID")
    levels = []
    for (arm, level), (_, row) in zip(fitted.weights, table.iterrows(), strict=True):
        mine = patients[(patients[factor] == level) & patients["TRT01P"].isin((arm, fitted.arms.reference))]
        levels.append({"level": level, **_comparison(arm, fitted.arms.reference, len(mine), row)})
    test = fitted.result.joint_test(_interaction(fitted, table["estimate"].notna().to_numpy()))
    record = {
        "analysis_id": f"primary.subgroup.{subgroup.column}",
        "kind": "subgroup",
        "parameter": data.code,
        "label": data.label,
        "column": subgroup.column,
        "estimate": fitted.statistic,
        "visit": fitted.visit,
        "transform": data.endpoint.transform,
        "model": f"the {plan.model} model with {factor} and its interactions with arm and time",
        "alpha": plan.alpha,
        "reference_arm": fitted.arms.reference,
        "left_out": {**data.left_out, **fitted.left_out},
        "levels": sorted(levels, key=lambda each: list(patients[factor].cat.categories).index(each["level"])),
        "interaction": {
            "statistic": number(test.statistic),
            "numerator_df": number(test.numerator_df),
            "denominator_df": number(test.denominator_df),
            "p": number(test.p),
        },
        **result_record(fitted.result),
    }
    if plan.model == "random_slope":
        record["independent_check"] = check_random_slope(fitted.result).record()
    return record


def _comparison(arm: str, reference: str, patients: int, row: "pd.Series[float]") -> dict[str, Any]:
    values = {name: number(row[name]) for name in NUMBERS}
    return {"arm": arm, "comparator": reference, "patients": patients, **values}


def _interaction(fitted: _Fitted, estimable: NDArray[np.bool_]) -> Array:
    """Differences of every estimable level's comparison from the first such level's, arm by arm."""
    first: dict[str, Array] = {}
    rows = []
    for ((arm, _), weights), known in zip(fitted.weights.items(), estimable, strict=True):
        if known and arm in first:
            rows.append(weights - first[arm])
        elif known:
            first[arm] = weights
    if not rows:
        raise StatisticsError(f"subgroup {fitted.factor}", "no two levels can be compared", "data in both arms of each")
    return np.array(rows)


def _overall(fitted: _Fitted, plan: AnalysisPlan, models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The primary comparison itself, from its own model; empty where that could not be fitted."""
    found = [model for model in models if model["analysis_id"] == f"primary.{plan.model}"]
    if not found:
        return []
    model, reference = found[0], fitted.arms.reference
    listed = model["slope_differences_per_day" if plan.model == "random_slope" else "differences"]
    rows = {row["name"]: row for row in listed}
    sizes = model["patients_by_arm"]
    keys = {arm: arm if plan.model == "random_slope" else f"{arm}, {fitted.visit}" for arm in fitted.arms.names[1:]}
    return [
        {
            "arm": arm,
            "comparator": reference,
            "patients": sizes[arm] + sizes[reference],
            **{name: rows[key][name] for name in NUMBERS},
        }
        for arm, key in keys.items()
        if key in rows
    ]


def _rows(record: Mapping[str, Any], fitted: _Fitted) -> list[ResultRow]:
    """Every number of the record as a row; infinite degrees of freedom stay empty."""
    method = fitted.result.inference.method.description
    rows: list[ResultRow] = []
    for level in record["levels"]:
        where = (record["parameter"], fitted.visit, level["arm"], level["comparator"])
        name = f"{record['analysis_id']}.{level['level']}"
        if level["estimate"] is None:
            rows += _cells(name, {NOT_ESTIMABLE: None}, where, "it rests on a combination without data")
            continue
        values = {"patients": level["patients"], fitted.statistic: level["estimate"]}
        values |= {key: level[key] for key in NUMBERS[1:]}
        rows += _cells(name, values, where, f"{record['column']} {level['level']}; {record['model']}; {method}")
    test = dict(record["interaction"])
    values = {"interaction_f": test.pop("statistic"), **test}
    note = f"F test that the comparison is the same in every level; {method}"
    return [*rows, *_cells(record["analysis_id"], values, (record["parameter"], fitted.visit, "", ""), note)]


def _cells(
    analysis_id: str, values: Mapping[str, float | None], where: tuple[str, str, str, str], note: str
) -> list[ResultRow]:
    parameter, visit, arm, comparator = where
    return [
        ResultRow(analysis_id, parameter, name, value, visit, arm, comparator, note) for name, value in values.items()
    ]
