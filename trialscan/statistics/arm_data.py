"""The analysis table read for a comparison: faults raised, patients left out counted and named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import (
    clean_column,
    listed,
    numeric_column,
    parsed_numbers,
    refuse_duplicates,
    refuse_infinite,
    require_columns,
    some,
    text_column,
)
from trialscan.statistics.plan import AnalysisPlan, EndpointPlan

REQUIRED = ("USUBJID", "TRT01P", "PARAMCD", "PARAM", "AVISIT", "AVISITN", "ADY", "AVAL", "BASE", "ABLFL", "ANL01FL")
_TEXT = ("USUBJID", "TRT01P", "PARAMCD", "PARAM", "AVISIT", "ABLFL", "ANL01FL")
_NUMBERS = ("AVISITN", "ADY", "AVAL", "BASE")


@dataclass(frozen=True)
class EndpointData:
    """The records of one endpoint that have a value.

    records: by patient and day, with REQUIRED columns, covariates and days of events. rows: the same and those without
    a value. visits: in order of AVISITN. left_out: why rows or patients take no part, with their number and names.
    """

    name: str
    endpoint: EndpointPlan
    label: str
    records: pd.DataFrame
    rows: pd.DataFrame
    visits: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def code(self) -> str:
        """PARAMCD."""
        return self.endpoint.paramcd

    @property
    def quantity(self) -> str:
        """What a ratio is a ratio of: the label, and for log1p the one unit added to it."""
        if self.endpoint.transform == "none":
            return self.label
        match = re.fullmatch(r"(.+?) \((.+)\)", self.label)
        return f"({match[1]} + 1 {match[2]})" if match else f"({self.label} + 1)"

    @property
    def scale(self) -> str:
        """What is analysed, in words: the label, or the logarithm of the quantity."""
        return f"log{self.quantity}" if self.endpoint.transform == "log1p" else self.label

    def after_baseline(self) -> pd.DataFrame:
        """Records that are no baseline and not before the patient's baseline day."""
        return follow_up(self.records)

    def planned_visits(self) -> tuple[str, ...]:
        """Visits after baseline that have rows, be it without a value; in order."""
        return _visits(follow_up(self.rows))

    def response(self, column: str) -> str:
        """The column on the scale of analysis, as a formula writes it."""
        return f"log1p({column})" if self.endpoint.transform == "log1p" else column


def read_analysis(analysis: pd.DataFrame, plan: AnalysisPlan) -> pd.DataFrame:
    """The table with clean types, sorted by patient, parameter, day and visit, so that row order cannot matter.

    Raises
    ------
    StatisticsError : an absent column; a row without patient, parameter or visit; a value that is infinite or no
        number; two rows for a patient, parameter and visit; a patient in two arms or with two days of one event.
    """
    columns = (*REQUIRED, *plan.table_columns, *plan.estimand.columns)
    require_columns(analysis, columns, "analysis table")
    table = pd.DataFrame({name: analysis[name] for name in columns}).reset_index(drop=True)
    for name in _TEXT:
        table[name] = text_column(table[name])
    for name in ("USUBJID", "PARAMCD", "AVISIT"):
        if table[name].isna().any():
            raise StatisticsError(f"column {name!r}", f"empty in {table[name].isna().sum()} row(s)", "a name in each")
    for name in _NUMBERS:
        table[name] = numeric_column(table, name)
    for name in plan.table_columns:
        table[name] = _covariate(table, name)
    for name in plan.estimand.columns:
        table[name] = numeric_column(table, name)
    table = table.sort_values(["USUBJID", "PARAMCD", "ADY", "AVISIT"], kind="stable", ignore_index=True)
    labels = _labels(table)
    for name in ("ADY", "AVAL", "BASE", *plan.estimand.columns):
        refuse_infinite(table[name].to_numpy(), name, labels)
    refuse_duplicates(labels, "patient, parameter and visit")
    _refuse_two_arms(table)
    for name in plan.estimand.columns:
        _refuse_two_days(table, name)
    return table.assign(TRT01P=table.groupby("USUBJID")["TRT01P"].transform("first"))


def endpoint_data(table: pd.DataFrame, name: str, endpoint: EndpointPlan) -> EndpointData:
    """The records of an endpoint that are flagged for analysis and have a value.

    Raises
    ------
    StatisticsError : a record without a study day; a value whose logarithm is asked for at or below −1.
    """
    rows = table[table["PARAMCD"] == endpoint.paramcd]
    missing = rows["AVAL"].isna()
    unflagged = ~missing & (rows["ANL01FL"] != "Y")
    records = rows[~missing & ~unflagged].reset_index(drop=True)
    labels = _labels(records)
    no_day = records["ADY"].isna().to_numpy()
    if no_day.any():
        raise StatisticsError("column 'ADY'", f"no study day for {some(labels, no_day)}", "a day for each value")
    if endpoint.transform == "log1p":
        for column in ("AVAL", "BASE"):
            low = records[column].to_numpy() <= -1
            if low.any():
                raise StatisticsError(f"column {column!r}", f"−1 or less for {some(labels, low)}", "above −1 for log1p")
    left_out = {}
    if missing.any():
        left_out["records without a value"] = str(int(missing.sum()))
    if unflagged.any():
        left_out["records not flagged for analysis (ANL01FL)"] = str(int(unflagged.sum()))
    label = str(records["PARAM"].iloc[0] or endpoint.paramcd) if len(records) else endpoint.paramcd
    return EndpointData(name, endpoint, label, records, rows.reset_index(drop=True), _visits(records), left_out)


def follow_up(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows after baseline."""
    return rows[is_follow_up(rows)].reset_index(drop=True)


def is_follow_up(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are no baseline and not before the patient's baseline day."""
    baseline = rows[rows["ABLFL"] == "Y"].drop_duplicates("USUBJID").set_index("USUBJID")["ADY"]
    before = rows["ADY"] < rows["USUBJID"].map(baseline).astype(np.float64)
    return (rows["ABLFL"] != "Y") & ~before


def with_covariates(records: pd.DataFrame, names: tuple[str, ...]) -> tuple[pd.DataFrame, dict[str, str]]:
    """The records of patients whose covariates are all known, and who was left out for which.

    Raises
    ------
    StatisticsError : nobody's are.
    """
    left_out = {}
    keep = np.ones(len(records), dtype=bool)
    for name in names:
        absent = records[name].isna().to_numpy()
        if absent.any():
            left_out[f"patients without {name}"] = counted(records["USUBJID"][absent])
            keep &= ~records["USUBJID"].isin(records["USUBJID"][absent]).to_numpy()
    if len(records) and not keep.any():
        raise StatisticsError(
            "covariates", f"no patient has {' and '.join(names)}", "patients whose covariates are known"
        )
    return records[keep].reset_index(drop=True), left_out


def varying(records: pd.DataFrame, names: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The covariates that take more than one value in these records, and a word on those that do not."""
    constant = [name for name in names if records[name].nunique() < 2]
    kept = tuple(name for name in names if name not in constant)
    return kept, {f"covariate {name}": "has one value only and is not in the model" for name in constant}


def counted(patients: "pd.Series[str]") -> str:
    """How many different patients, and who."""
    names = sorted(set(patients))
    return f"{len(names)} ({listed(names)})"


def term(name: str) -> str:
    """A column as a formula writes it."""
    return name if name.isidentifier() else f"`{name}`"


def _covariate(table: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """Numbers where every value present is one, else a factor."""
    values = table[name]
    if pd.api.types.is_numeric_dtype(values) or isinstance(values.dtype, pd.CategoricalDtype):
        column = clean_column(values)
    else:
        text = text_column(values)
        numbers, wrong = parsed_numbers(text)
        column = pd.Series(numbers, index=text.index, name=name) if wrong is None else clean_column(text)
    if column.dtype == np.float64:
        refuse_infinite(column.to_numpy(), name, _labels(table))
    return column


def _labels(table: pd.DataFrame) -> list[str]:
    columns = zip(table["USUBJID"], table["PARAMCD"], table["AVISIT"], strict=True)
    return [f"patient {who}, {what}, visit {visit}" for who, what, visit in columns]


def _visits(records: pd.DataFrame) -> tuple[str, ...]:
    first = records.groupby("AVISIT")["AVISITN"].min().reset_index()
    return tuple(first.sort_values(["AVISITN", "AVISIT"], na_position="last")["AVISIT"])


def _refuse_two_days(table: pd.DataFrame, name: str) -> None:
    days = table.groupby("USUBJID")[name].nunique(dropna=False)
    if (days > 1).any():
        raise StatisticsError(f"column {name!r}", f"several days for patient {days.index[days > 1][0]}", "one day")


def _refuse_two_arms(table: pd.DataFrame) -> None:
    arms = table.groupby("USUBJID")["TRT01P"].nunique()
    if (arms > 1).any():
        who = str(arms.index[arms > 1][0])
        names = sorted(table.loc[table["USUBJID"] == who, "TRT01P"].dropna().unique())
        raise StatisticsError(f"patient {who}", f"in arms {listed(names)}", "one arm")
