"""The tipping point of an endpoint at its last visit: rows and record of the delta-adjusted comparison."""

from typing import Any

import numpy as np
import pandas as pd

from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.estimand_plan import TippingPlan
from trialscan.statistics.full_grid import OUTCOME
from trialscan.statistics.imputation import TippingPoint, tipping_points
from trialscan.statistics.imputed import Imputed
from trialscan.statistics.records import number
from trialscan.statistics.rows import Analysis, ResultRow, statistics_rows

KIND = "tipping_point"
DEFAULT_REACH = 2.0
_AT_DELTA = {"estimate": "adjusted_mean_difference", "se": "se", "p": "p", "lower": "lower", "upper": "upper"}


def analyse_tipping(imputed: Imputed, plan: TippingPlan, analysis_id: str) -> Analysis:
    """Rows, the record, and arm → reason for the arms left out."""
    data, visit = imputed.data, imputed.grid.visits[-1]
    sd = _pooled_sd(imputed.grid.table, visit)
    low, high = plan.deltas or (-DEFAULT_REACH * sd, DEFAULT_REACH * sd)
    deltas = np.linspace(low, high, plan.steps + 1)
    deltas[np.abs(deltas) < 1e-9 * (high - low)] = 0.0
    found = tipping_points(
        imputed.result, [float(delta) for delta in deltas], strategy=plan.strategy, visit=visit, shifted=plan.shifted
    )
    whose = "all arms" if plan.shifted == "all" else "all arms but the reference"
    scale = (
        f"delta is added to the change from baseline of {data.scale} where it was imputed, under {plan.strategy}, "
        f"in {whose}"
    )
    default = f"{DEFAULT_REACH:g} pooled standard deviations either side of 0"
    record = imputed.record(analysis_id, KIND) | {
        "strategy": plan.strategy,
        "shifted_arms": plan.shifted,
        "scale": scale,
        "range": default if plan.deltas is None else "as planned",
        "pooled_sd": number(sd),
        "visit": visit,
        "comparisons": [_comparison_record(each) for each in found],
    }
    remarks = f"{scale}; {imputed.result.analysis}"
    rows = [row for each in found for row in _tipping_rows(each, analysis_id, data, remarks)]
    return rows, record, dict(imputed.grid.arms.too_few)


def _comparison_record(point: TippingPoint) -> dict[str, Any]:
    return {
        "arm": point.arm,
        "comparator": point.comparator,
        "n_shifted": point.n_shifted,
        "grid": [
            {str(name): number(value) for name, value in row.items()}
            for row in point.grid.reset_index().to_dict("records")
        ],
        "tipping_delta": point.tipping_delta,
        "note": point.note,
    }


def _tipping_rows(point: TippingPoint, analysis_id: str, data: EndpointData, scale: str) -> list[ResultRow]:
    at = {"visit": point.visit, "arm": point.arm, "comparator": point.comparator}
    note = f"{point.note}; {scale}"
    rows = [ResultRow(analysis_id, data.code, "tipping_delta", point.tipping_delta, note=note, **at)]
    for row in point.grid.reset_index().to_dict("records"):
        values = {f"{name}[delta={row['delta']:.10g}]": row[column] for column, name in _AT_DELTA.items()}
        rows += statistics_rows(analysis_id, data.code, values, note=scale, **at)
    return rows


def _pooled_sd(table: pd.DataFrame, visit: str) -> float:
    """Standard deviation of the observed changes at a visit within arms."""
    groups = table[table["AVISIT"] == visit].groupby("TRT01P", observed=True)[OUTCOME]
    free = groups.count() - 1
    return float(np.sqrt((groups.var() * free).sum() / free.sum()))
