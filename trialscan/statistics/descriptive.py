"""Descriptive statistics by arm and visit, on the scale of measurement."""

import pandas as pd

from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.rows import ResultRow, statistics_rows


def describe(data: EndpointData) -> list[ResultRow]:
    """n, mean, sd (n − 1), median, minimum and maximum; patients without an arm under an empty arm name."""
    rows: list[ResultRow] = []
    arms = data.records["TRT01P"].fillna("")
    for visit in data.visits:
        for arm in sorted(arms.unique()):
            values = data.records.loc[(data.records["AVISIT"] == visit) & (arms == arm), "AVAL"]
            if len(values):
                rows += statistics_rows(
                    f"{data.name}.descriptive",
                    data.code,
                    _summary(values),
                    visit=visit,
                    arm=arm,
                    note="" if arm else "patients without an arm",
                )
    return rows


def _summary(values: "pd.Series[float]") -> dict[str, float]:
    summary = {"n": len(values), "mean": values.mean()}
    if len(values) > 1:
        summary["sd"] = values.std(ddof=1)
    return summary | {"median": values.median(), "min": values.min(), "max": values.max()}
