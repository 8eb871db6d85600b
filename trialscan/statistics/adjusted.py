"""Rows of results.csv for adjusted means (LS-means) of change from baseline and their differences between arms."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.rows import NOT_ESTIMABLE, ResultRow, statistics_rows

Where = Mapping[str, str]


def mean_rows(mean: "pd.Series[float]", size: int, data: EndpointData, where: Where, remarks: str) -> list[ResultRow]:
    """n, the adjusted mean change of an arm with se, df and interval, and for log1p the percent change.

    `where` holds analysis_id, parameter, visit and arm; `remarks` say how means are averaged and inference is had.
    A mean that is not estimable (NaN) is said to be so.
    """
    counted = statistics_rows(values={"n": float(size)}, **where)
    if np.isnan(mean["estimate"]):
        return [*counted, _not_estimable(where)]
    values = {"adjusted_mean_change": mean["estimate"], **_interval(mean)}
    note = f"{_change(data)}; {remarks}"
    return [
        *counted,
        *statistics_rows(values=values, note=note, **where),
        *_percent_rows(mean, "percent_change", f"percent change from baseline of {data.quantity}", data, where),
    ]


def difference_rows(difference: "pd.Series[float]", data: EndpointData, where: Where, remarks: str) -> list[ResultRow]:
    """The difference of adjusted means from the comparator in `where`, with test, and for log1p as ratio and percent.

    A difference that is not estimable (NaN) is said to be so.
    """
    if np.isnan(difference["estimate"]):
        return [_not_estimable(where)]
    reference = where["comparator"]
    values = {"adjusted_mean_difference": difference["estimate"], **_interval(difference)}
    values |= {name: difference[name] for name in ("t", "z", "p") if name in difference}
    note = f"difference from {reference} in {_change(data)}; {remarks}"
    percent = f"percent by which {data.quantity} over its baseline differs from that in {reference}"
    return [
        *statistics_rows(values=values, note=note, **where),
        *_ratio_rows(difference, data, where),
        *_percent_rows(difference, "percent_difference", percent, data, where),
    ]


def _not_estimable(where: Where) -> ResultRow:
    note = "not estimable: it rests on a combination of arm and visit, or of covariates, without data"
    return ResultRow(statistic=NOT_ESTIMABLE, value=None, note=note, **where)


def _change(data: EndpointData) -> str:
    return f"change of {data.response('value')} from baseline"


def _interval(row: "pd.Series[float]") -> dict[str, float]:
    """Without df where inference is normal."""
    return {name: row[name] for name in ("se", "df", "lower", "upper") if name in row}


def _ratio_rows(row: "pd.Series[float]", data: EndpointData, where: Where) -> list[ResultRow]:
    """exp of a difference of logarithms."""
    if data.endpoint.transform != "log1p":
        return []
    ends = {"ratio": "estimate", "ratio_lower": "lower", "ratio_upper": "upper"}
    values = {key: float(np.exp(row[end])) for key, end in ends.items()}
    note = f"ratio of {data.quantity} over its baseline to that in {where['comparator']}"
    return statistics_rows(values=values, note=note, **where)


def _percent_rows(row: "pd.Series[float]", name: str, note: str, data: EndpointData, where: Where) -> list[ResultRow]:
    if data.endpoint.transform != "log1p":
        return []
    ends = {name: "estimate", f"{name}_lower": "lower", f"{name}_upper": "upper"}
    values = {key: float(100 * np.expm1(row[end])) for key, end in ends.items()}
    return statistics_rows(values=values, note=note, **where)
