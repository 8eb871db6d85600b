"""From a long table to the matrices of an MMRM: a row a patient and visit, in the declared order of visits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed, numeric_column, refuse_duplicates, require_columns, some, text_column
from trialscan.statistics.design import (
    CrossDesign,
    cross_design,
    refuse_missing,
    sorted_frame,
    with_outcome,
)
from trialscan.statistics.formula import parse_formula

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
_VISIT, _NAME, _WEIGHT, _GROUP = "(position)", "(visit)", "(weight)", "(group)"
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class VisitDesign(CrossDesign):
    """A model's matrices with rows sorted by patient and then visit.

    `patient_of_row`, `visit_of_row` (N,) index `patients` and `visits`; `group_of_patient` (n,) indexes `groups`, of
    which there is one where all patients share a covariance. `weights` (N,) are positive; a row's variance is divided
    by its weight. `n_missing_outcome` rows had no outcome and were left out.
    """

    patients: tuple[str, ...]
    patient_of_row: Codes
    visits: tuple[str, ...]
    visit_of_row: Codes
    groups: tuple[str, ...]
    group_of_patient: Codes
    weights: Array
    n_missing_outcome: int

    def refilled(self, X: Array, y: Array, frame: pd.DataFrame) -> "VisitDesign":
        """The design of other values in the same rows; arguments and errors as in `refilled_fields`."""
        fields = self.refilled_fields(X, y, frame)
        present = ~np.isnan(y)
        seen, codes = np.unique(self.patient_of_row[present], return_inverse=True)
        return VisitDesign(
            **fields,
            patients=tuple(self.patients[index] for index in seen),
            patient_of_row=codes,
            visits=self.visits,
            visit_of_row=self.visit_of_row[present],
            groups=self.groups,
            group_of_patient=self.group_of_patient[seen],
            weights=self.weights[present],
            n_missing_outcome=int((~present).sum()),
        )


def build_visit_design(
    data: pd.DataFrame,
    formula: str,
    *,
    patient: str,
    visit: str,
    visit_order: Sequence[str] | None = None,
    weights: str | None = None,
    group: str | None = None,
    drop_aliased: bool = False,
) -> VisitDesign:
    """Read the table for an MMRM.

    Parameters
    ----------
    data : a row for each patient and visit; the order of rows does not matter.
    formula : `outcome ~ fixed effects`, as `build_design` takes it. Named visits are a factor in the declared order,
        numbers are numbers.
    patient, visit : the columns with the patient and the visit.
    visit_order : the visits in time order. None takes the order of a pandas categorical, of numbers, or of names that
        differ in one number only, such as V1, V2, V10.
    weights : a column of positive weights. group : a column, constant within a patient, with a covariance each.
    drop_aliased : as `build_design`.

    Raises
    ------
    StatisticsError : as `build_design`; an order of visits that is not declared or does not fit the table; a visit
        without any outcome; weights that are not positive; a group that changes within a patient.
    """
    require_columns(data, [name for name in (patient, visit, weights, group) if name is not None])
    order = declared_order(data[visit], visit, visit_order)
    coded = _coded(data, visit, order, weights=weights, group=group)
    extra = tuple(name for name in (_WEIGHT, _GROUP) if name in coded)
    parsed = parse_formula(formula, data)
    sorted_rows = sorted_frame(coded, parsed, patient, (_VISIT,), keep=(visit, _NAME, *extra))
    _refuse_visits_without_outcome(sorted_rows, parsed.outcome_columns, order)
    refuse_duplicates(_labels(sorted_rows, patient), "patient and visit")
    frame, dropped = with_outcome(sorted_rows, parsed)
    refuse_missing(frame, (*parsed.model_columns, visit, *extra), patient)
    labels = _labels(frame, patient)
    patients, first, codes = np.unique(frame[patient].to_numpy(dtype=str), return_index=True, return_inverse=True)
    if len(patients) < 2:
        raise StatisticsError("data", f"{len(patients)} patient with an outcome", "at least 2 patients")
    cross = cross_design(parsed, frame, labels, drop_aliased=drop_aliased)
    groups, group_of_patient = _groups(frame, group, patients, codes, first)
    return VisitDesign(
        **vars(cross),
        patients=tuple(map(str, patients)),
        patient_of_row=codes,
        visits=order,
        visit_of_row=frame[_VISIT].to_numpy(dtype=np.intp),
        groups=groups,
        group_of_patient=group_of_patient,
        weights=_weights(frame, weights, labels),
        n_missing_outcome=dropped,
    )


def _coded(
    data: pd.DataFrame, visit: str, order: tuple[str, ...], *, weights: str | None, group: str | None
) -> pd.DataFrame:
    """The table with each row's visit by name and place, its weight and its group; named visits as a factor."""
    names = _visit_names(data[visit])
    coded = data.copy(deep=False)
    coded[_NAME], coded[_VISIT] = names, visit_positions(data[visit], order)
    if not pd.api.types.is_numeric_dtype(data[visit]):
        coded[visit] = pd.Categorical(names, categories=order)
    if weights is not None:
        coded[_WEIGHT] = numeric_column(data, weights)
    if group is not None:
        coded[_GROUP] = text_column(data[group])
    return coded


def declared_order(column: "pd.Series[Any]", name: str, given: Sequence[str] | None) -> tuple[str, ...]:
    """The visits in time order: given, of a categorical, of numbers, or of names that differ in one number only.

    Raises StatisticsError for an order that lacks a visit of the table, repeats one, or cannot be known.
    """
    present = list(dict.fromkeys(_visit_names(column).dropna()))
    if given is None and isinstance(column.dtype, pd.CategoricalDtype):
        given = [str(level).strip() for level in column.cat.categories]
    if given is not None:
        order = tuple(str(visit).strip() for visit in given)
        if unknown := [visit for visit in present if visit not in order]:
            raise StatisticsError(f"column {name!r}", f"unknown visit {listed(unknown)}", f"one of {listed(order)}")
        if len(set(order)) < len(order):
            raise StatisticsError(f"column {name!r}", f"a visit twice in the order {', '.join(order)}", "each once")
        return order
    if pd.api.types.is_numeric_dtype(column):
        return tuple(sorted(present, key=float))
    if len({_DIGITS.sub("#", visit) for visit in present}) > 1 or any(len(_DIGITS.findall(v)) != 1 for v in present):
        raise StatisticsError(
            f"column {name!r}",
            f"no declared order of {listed(present)}",
            "an ordered categorical, or visit_order=[…]",
            "Name the visits in time order",
        )
    return tuple(sorted(present, key=lambda visit: int(_DIGITS.findall(visit)[0])))


def visit_positions(column: "pd.Series[Any]", order: Sequence[str]) -> Array:
    """The place of each row's visit in the order, NaN where it is missing; StatisticsError for an unknown visit."""
    names = _visit_names(column)
    if unknown := sorted(set(names.dropna()) - set(order)):
        raise StatisticsError(f"column {str(column.name)!r}", f"unknown visit {listed(unknown)}", f"{listed(order)}")
    place = {name: float(index) for index, name in enumerate(order)}
    return np.asarray(names.map(place), dtype=np.float64)


def _labels(frame: pd.DataFrame, patient: str) -> list[str]:
    return [f"patient {who}, visit {when}" for who, when in zip(frame[patient], frame[_NAME], strict=True)]


def _visit_names(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Visits as text; whole numbers without a decimal point."""
    if pd.api.types.is_numeric_dtype(column):
        return column.map(lambda value: None if pd.isna(value) else f"{float(value):.15g}").astype(object)
    return text_column(column)


def _refuse_visits_without_outcome(frame: pd.DataFrame, outcome: Sequence[str], order: Sequence[str]) -> None:
    seen = set(frame.loc[frame[list(outcome)].notna().all(axis=1), _NAME].dropna())
    if absent := [name for name in order if name not in seen]:
        raise StatisticsError(
            f"visit {listed(absent)}", "no patient of any arm has an outcome", "an outcome", "Leave the visit out"
        )


def _groups(
    frame: pd.DataFrame, group: str | None, patients: NDArray[np.str_], codes: Codes, first: Codes
) -> tuple[tuple[str, ...], Codes]:
    if group is None:
        return ("all",), np.zeros(len(first), dtype=np.intp)
    values = frame[_GROUP].to_numpy(dtype=str)
    changing = values != values[first][codes]
    if changing.any():
        raise StatisticsError(
            f"column {group!r}",
            f"changes within a patient: {listed(patients[np.unique(codes[changing])])}",
            "one value a patient",
        )
    names, of_patient = np.unique(values[first], return_inverse=True)
    return tuple(map(str, names)), of_patient.astype(np.intp)


def _weights(frame: pd.DataFrame, weights: str | None, labels: Sequence[str]) -> Array:
    if weights is None:
        return np.ones(len(frame))
    values = frame[_WEIGHT].to_numpy(dtype=np.float64)
    wrong = ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        raise StatisticsError(f"column {weights!r}", f"no positive weight for {some(labels, wrong)}", "above zero")
    return values
