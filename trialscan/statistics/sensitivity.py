"""Sensitivity analyses of an endpoint: missing outcomes imputed under the plan's strategies, and the tipping point."""

from collections.abc import Callable
from functools import partial
from typing import NoReturn

import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.adjusted import difference_rows, mean_rows
from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.imputed import Imputed, impute_endpoint
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.records import coefficient_records
from trialscan.statistics.rows import Analysis, ResultRow, statistics_rows
from trialscan.statistics.tipping_analysis import KIND as TIPPING
from trialscan.statistics.tipping_analysis import analyse_tipping

KIND = "reference_based"
MEANING = {
    "MAR": "missing outcomes as in the own arm, given the baseline and what was observed (missing at random)",
    "JR": "after an event the mean jumps to that of the reference arm",
    "CIR": "after an event the mean changes as that of the reference arm does",
    "CR": "the mean of a patient with an event is that of the reference arm throughout",
    "LMCF": "after an event the mean stays where it was at the last visit before",
}


def sensitivity_analyses(
    data: EndpointData, used: EndpointData, plan: AnalysisPlan
) -> list[tuple[str, Callable[[], Analysis]]]:
    """analysis_id and analysis of all that the plan asks for; imputation is made once for all of them.

    `data` is what was observed, `used` what of it the estimand uses. An analysis raises StatisticsError where the data
    do not allow it.
    """
    missing = plan.missing_data
    if not missing.imputed:
        return []
    names = {name: f"{data.name}.{KIND}.{name}" for name in missing.strategies}
    tipping_id = f"{data.name}.{TIPPING}"
    try:
        imputed = impute_endpoint(data, used, plan)
    except StatisticsError as error:
        every = [*names.values(), *([tipping_id] if missing.tipping is not None else [])]
        return [(analysis_id, partial(_again, error)) for analysis_id in every]
    analyses: list[tuple[str, Callable[[], Analysis]]] = [
        (analysis_id, partial(_strategy_analysis, imputed, name, analysis_id)) for name, analysis_id in names.items()
    ]
    if missing.tipping is not None:
        analyses.append((tipping_id, partial(analyse_tipping, imputed, missing.tipping, tipping_id)))
    return analyses


def _again(error: StatisticsError) -> NoReturn:
    raise error


def _strategy_analysis(imputed: Imputed, strategy: str, analysis_id: str) -> Analysis:
    result, arms, data = imputed.result, imputed.grid.arms, imputed.data
    differences, means = (_under(strategy, each) for each in (result.differences, result.adjusted_means))
    record = imputed.record(analysis_id, KIND) | {
        "strategy": strategy,
        "meaning": MEANING[strategy],
        "adjusted_means": coefficient_records(_flat(means)),
        "differences": coefficient_records(_flat(differences)),
        "imputed": [
            {"arm": arm, "visit": visit, "n": imputed.n_imputed(arm, visit)}
            for arm in arms.names
            for visit in imputed.grid.visits
        ],
    }
    remarks = f"{strategy}: {MEANING[strategy]}; {result.analysis}"
    rows: list[ResultRow] = []
    for visit in imputed.grid.visits:
        at = {"analysis_id": analysis_id, "parameter": data.code, "visit": visit}
        for arm in arms.names:
            mine = at | {"arm": arm}
            size = int((result.problem.arm_of == result.problem.arms.index(arm)).sum())
            rows += mean_rows(_row(means, arm, visit), size, data, mine, remarks)
            rows += statistics_rows(values={"n_imputed": imputed.n_imputed(arm, visit)}, **mine)
        for arm in arms.names[1:]:
            mine = at | {"arm": arm, "comparator": arms.reference}
            rows += difference_rows(_row(differences, arm, visit), data, mine, remarks)
    return rows, record, dict(arms.too_few)


def _under(strategy: str, table: pd.DataFrame) -> pd.DataFrame:
    return table[table.index.get_level_values("strategy") == strategy].droplevel("strategy")


def _row(table: pd.DataFrame, arm: str, visit: str) -> "pd.Series[float]":
    return table.loc[[(arm, visit)]].iloc[0]


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_axis([", ".join(map(str, key)) for key in table.index])
