"""Columns of a long table, checked before any model sees them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.errors import StatisticsError

NAMED_AT_MOST = 5
LARGEST = 1e100


def require_columns(data: pd.DataFrame, names: Iterable[str], where: str = "data") -> None:
    """Raise StatisticsError without a table, or when a named column is absent (listing what it has) or there twice."""
    if not isinstance(data, pd.DataFrame):
        raise StatisticsError(where, f"a {type(data).__name__}", "a pandas DataFrame, a row a visit")
    absent = [name for name in dict.fromkeys(names) if name not in data.columns]
    if absent:
        raise StatisticsError(
            where,
            f"no column named {', '.join(map(repr, absent))}",
            f"one of {', '.join(map(str, data.columns))}",
        )
    if repeated := [name for name in dict.fromkeys(names) if list(data.columns).count(name) > 1]:
        raise StatisticsError(where, f"more than one column named {', '.join(map(repr, repeated))}", "one of each name")


def clean_column(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers as float64, anything else as an ordered-by-name categorical; blank text is missing.

    A categorical keeps its declared order and loses the levels that no row has.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.remove_unused_categories()
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return pd.Series(values.to_numpy(dtype=np.float64, na_value=np.nan), index=values.index, name=values.name)
    text = text_column(values)
    return text.astype(pd.CategoricalDtype(sorted(text.dropna().unique())))


def text_column(values: "pd.Series[Any]") -> "pd.Series[str]":
    """The column as text without surrounding blanks; missing and blank become missing."""
    present = values.notna()
    text = values.astype(object).where(present, None).map(lambda value: str(value).strip(), na_action="ignore")
    return text.where(present & (text != ""), None)


def numeric_column(data: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """The column as float64, missing as NaN; StatisticsError names the first row that is no number."""
    values = data[name]
    if pd.api.types.is_complex_dtype(values):
        raise StatisticsError(f"column {name!r}", "complex numbers", "real numbers")
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers, wrong = parsed_numbers(text_column(values))
    if wrong is not None:
        raise StatisticsError(f"column {name!r}", f"{wrong!r} is not a number", "numbers")
    return numbers


def parsed_numbers(text: "pd.Series[str]") -> tuple[NDArray[np.float64], str | None]:
    """Text as float64 to the last bit (which pandas' own parser is not), missing as NaN, and the first that is none."""
    numbers = np.full(len(text), np.nan)
    for row, cell in enumerate(text):
        if cell is not None:
            try:
                numbers[row] = float(cell)
            except ValueError:
                return numbers, cell
    return numbers, None


def refuse_infinite(values: NDArray[np.float64], column: str, labels: Sequence[str]) -> None:
    """Raise StatisticsError naming the rows (`labels`) whose value is infinite, or whose square would be."""
    for wrong, what in ((np.isinf(values), "infinite value"), (np.abs(values) > LARGEST, "too large a value")):
        if wrong.any():
            expected = f"finite numbers of at most {LARGEST:g}"
            raise StatisticsError(f"column {column!r}", f"{what} for {some(labels, wrong)}", expected)


def refuse_duplicates(labels: Sequence[str], what: str) -> None:
    """Raise StatisticsError naming the rows that occur more than once."""
    repeated = pd.Series(list(labels), dtype=object).duplicated(keep=False).to_numpy()
    if repeated.any():
        names = list(dict.fromkeys(label for label, twice in zip(labels, repeated, strict=True) if twice))
        raise StatisticsError(
            "data",
            f"more than one row for {listed(names)}",
            f"one row for each {what}",
            "Keep the row that counts and remove the others",
        )


def some(labels: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    """The labels of the chosen rows, the first few by name."""
    return listed([label for label, take in zip(labels, chosen, strict=True) if take])


def listed(names: Sequence[str]) -> str:
    """Names joined by commas; beyond five, how many more there are."""
    text = ", ".join(names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return f"{text} and {more} more" if more > 0 else text
