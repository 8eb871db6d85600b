"""The long table of results: one row a statistic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

RESULT_COLUMNS = ("analysis_id", "parameter", "visit", "arm", "comparator", "statistic", "value", "note")
NOT_ESTIMABLE = "not_estimable"
Analysis = tuple[list["ResultRow"], dict[str, Any], dict[str, str]]  # rows, record, arm → why it is left out


@dataclass(frozen=True)
class ResultRow:
    """One statistic; value is None where there is none, and the note says why."""

    analysis_id: str
    parameter: str
    statistic: str
    value: float | None
    visit: str = ""
    arm: str = ""
    comparator: str = ""
    note: str = ""


def statistics_rows(
    analysis_id: str,
    parameter: str,
    values: Mapping[str, float],
    *,
    visit: str = "",
    arm: str = "",
    comparator: str = "",
    note: str = "",
) -> list[ResultRow]:
    """A row each named value, in order, all with the same note."""
    return [
        ResultRow(analysis_id, parameter, name, float(value), visit, arm, comparator, note)
        for name, value in values.items()
    ]


def results_table(rows: Iterable[ResultRow]) -> pd.DataFrame:
    """The rows as a table with the columns of results.csv; a missing value is NaN."""
    table = pd.DataFrame(
        [{name: getattr(row, name) for name in RESULT_COLUMNS} for row in rows], columns=RESULT_COLUMNS
    )
    return table.astype({name: "float64" if name == "value" else "object" for name in RESULT_COLUMNS})
