"""From a long table and a formula to matrices: rows sorted by patient and time, every fault named."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from formulaic import ModelSpec, StructuredFormula
from formulaic.errors import FormulaicError
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import (
    clean_column,
    listed,
    numeric_column,
    refuse_duplicates,
    refuse_infinite,
    require_columns,
    some,
    text_column,
)
from trialscan.statistics.formula import FUNCTIONS, ParsedFormula, parse_formula
from trialscan.statistics.orthogonal import Orthogonal, norm, orthogonalise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CrossDesign:
    """A model's matrices for one row a patient, sorted by patient.

    `names` (p,) are all columns of the formula; X (N, r) those that repeat no earlier one, and `basis` tells which and
    how the others follow. y (N,); `frame` the rows of the table behind them, of which the right-hand side reads
    `model_columns`.
    """

    formula: str
    model_columns: tuple[str, ...]
    X: Array
    y: Array
    names: tuple[str, ...]
    basis: Orthogonal
    frame: pd.DataFrame
    spec: ModelSpec

    def matrix(self, frame: pd.DataFrame) -> Array:
        """All columns (…, p) for other rows, with the coding of this one."""
        return np.asarray(self.spec.get_model_matrix(frame, context=FUNCTIONS), dtype=np.float64)

    @property
    def aliased(self) -> tuple[str, ...]:
        """Columns of the formula that are combinations of earlier ones and were left out."""
        return tuple(self.names[index] for index in self.basis.aliased)

    def refilled_fields(self, X: Array, y: Array, frame: pd.DataFrame) -> dict[str, Any]:
        """The fields above for other values in the same rows, without those whose outcome y (N,) is NaN.

        `frame` holds the values that X (N, p) was made of. Raises StatisticsError where columns are now aliased.
        """
        present = ~np.isnan(y)
        kept = X[present]
        rows = frame[present].reset_index(drop=True)
        basis = orthogonalise(kept)
        if basis.aliased:
            raise _aliased([self.names[index] for index in basis.aliased], self.formula, self.model_columns, rows)
        return {
            "formula": self.formula,
            "model_columns": self.model_columns,
            "X": kept,
            "y": y[present],
            "names": self.names,
            "basis": basis,
            "frame": rows,
            "spec": self.spec,
        }


@dataclass(frozen=True)
class Design(CrossDesign):
    """The same for repeated measures, rows sorted by patient and then time.

    `first_row` (patients,) is the first row of each patient; `n_missing_outcome` the rows without an outcome,
    dropped.
    """

    patients: tuple[str, ...]
    first_row: NDArray[np.intp]
    time: Array
    n_missing_outcome: int

    def refilled(self, X: Array, y: Array, frame: pd.DataFrame) -> "Design":
        """The design of other values in the same rows; arguments and errors as in `refilled_fields`."""
        fields = self.refilled_fields(X, y, frame)
        present = ~np.isnan(y)
        of_row = np.repeat(np.arange(len(self.patients)), np.diff(np.append(self.first_row, len(y))))[present]
        seen, first_row = np.unique(of_row, return_index=True)
        return Design(
            **fields,
            patients=tuple(self.patients[index] for index in seen),
            first_row=first_row,
            time=self.time[present],
            n_missing_outcome=int((~present).sum()),
        )


def build_design(data: pd.DataFrame, formula: str, *, patient: str, time: str, drop_aliased: bool = False) -> Design:
    """Read the table for a model of repeated measures.

    Parameters
    ----------
    data : a row for each patient and time; the order of rows does not matter.
    formula : `outcome ~ fixed effects`; text columns are factors, coded against their first level by name
        (a pandas categorical keeps its order).
    patient, time : names of the columns that hold the patient and the (numeric) time.
    drop_aliased : leave columns out that repeat others instead of refusing them.

    Raises
    ------
    StatisticsError : unknown columns, formula syntax, duplicate or infinite values, missing covariates, patients or
        times, fewer than two patients, a constant outcome, aliased columns.
    """
    require_columns(data, (patient, time))
    parsed = parse_formula(formula, data)
    frame, dropped = with_outcome(sorted_frame(data, parsed, patient, (time,)), parsed)
    refuse_missing(frame, (*parsed.model_columns, time), patient)
    labels = [f"patient {who}, {time} {when:.15g}" for who, when in zip(frame[patient], frame[time], strict=True)]
    refuse_duplicates(labels, "patient and time")
    cross = cross_design(parsed, frame, labels, time, drop_aliased=drop_aliased)
    patients, first_row = np.unique(frame[patient].to_numpy(dtype=str), return_index=True)
    if len(patients) < 2:
        raise StatisticsError("data", f"{len(patients)} patient with an outcome", "at least 2 patients")
    return Design(
        **vars(cross),
        patients=tuple(map(str, patients)),
        first_row=first_row,
        time=frame[time].to_numpy(dtype=np.float64),
        n_missing_outcome=dropped,
    )


def build_cross_design(data: pd.DataFrame, formula: str, *, patient: str) -> CrossDesign:
    """Read a table of one row a patient; otherwise as `build_design`."""
    require_columns(data, (patient,))
    parsed = parse_formula(formula, data)
    frame, _ = with_outcome(sorted_frame(data, parsed, patient, ()), parsed)
    refuse_missing(frame, parsed.model_columns, patient)
    labels = [f"patient {who}" for who in frame[patient]]
    refuse_duplicates(labels, "patient")
    return cross_design(parsed, frame, labels)


def cross_design(
    parsed: ParsedFormula, frame: pd.DataFrame, labels: Sequence[str], *also: str, drop_aliased: bool = False
) -> CrossDesign:
    """Matrices of a cleaned frame; `labels` name its rows in faults, `also` further columns that must be finite."""
    for name in dict.fromkeys((*parsed.outcome_columns, *parsed.model_columns, *also)):
        if frame[name].dtype == np.float64:
            refuse_infinite(frame[name].to_numpy(), name, labels)
    for name in parsed.model_columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype) and len(frame[name].cat.categories) < 2:
            level = ", ".join(map(str, frame[name].cat.categories))
            raise StatisticsError(f"column {name!r}", f"{level} in every row", "two or more levels to compare")
    y, X, spec = _matrices(parsed, frame, labels)
    names = tuple(str(name) for name in spec.column_names)
    if np.ptp(y) == 0:
        raise StatisticsError(f"formula {parsed.text!r}", f"the outcome is {y[0]:g} in every row", "one that varies")
    basis = orthogonalise(X)
    if basis.aliased and not drop_aliased:
        raise _aliased([names[index] for index in basis.aliased], parsed.text, parsed.model_columns, frame)
    _refuse_reproduced(y, basis, parsed.text)
    kept = np.ascontiguousarray(X[:, list(basis.kept)])
    return CrossDesign(parsed.text, parsed.model_columns, kept, y, names, basis, frame, spec)


def _aliased(names: Sequence[str], formula: str, model_columns: Sequence[str], frame: pd.DataFrame) -> StatisticsError:
    """The fault of columns that repeat others, with the pairs of levels that no row has."""
    factors = [name for name in model_columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    empty = []
    for first, second in combinations(factors, 2):
        counts = pd.crosstab(frame[first], frame[second], dropna=False)
        empty += [
            f"{first} {a} with {second} {b}" for a in counts.index for b in counts.columns if not counts.loc[a, b]
        ]
    why = f"no outcome has {listed(empty)}" if empty else "a combination of the others"
    return StatisticsError(
        f"formula {formula!r}",
        f"aliased column(s) {listed(names)}: {why}",
        "columns that carry information of their own",
        "Drop a term, or leave such columns out with drop_aliased=True",
    )


def sorted_frame(
    data: pd.DataFrame, parsed: ParsedFormula, patient: str, order: tuple[str, ...], keep: tuple[str, ...] = ()
) -> pd.DataFrame:
    """The columns of the model, cleaned, and those to `keep`; rows by patient and then the numeric columns `order`."""
    names = dict.fromkeys((patient, *order, *keep, *parsed.outcome_columns, *parsed.model_columns))
    frame = pd.DataFrame({name: data[name] for name in names}).reset_index(drop=True)
    frame[patient] = text_column(frame[patient])
    if frame[patient].isna().any():
        raise StatisticsError(f"column {patient!r}", f"no patient in {frame[patient].isna().sum()} row(s)", "a name")
    numeric = (*order, *parsed.outcome_columns)
    for name in numeric:
        frame[name] = numeric_column(frame, name)
    for name in parsed.model_columns:
        if name not in (patient, *numeric):
            frame[name] = clean_column(frame[name])
    return frame.sort_values([patient, *order], kind="stable", ignore_index=True)


def with_outcome(frame: pd.DataFrame, parsed: ParsedFormula) -> tuple[pd.DataFrame, int]:
    """The rows whose outcome is known, and how many are not."""
    present = frame[list(parsed.outcome_columns)].notna().all(axis=1)
    if not present.any():
        raise StatisticsError(f"column {listed(parsed.outcome_columns)!r}", "no value at all", "numbers")
    kept = frame[present].reset_index(drop=True)
    for name in kept.columns:
        if isinstance(kept[name].dtype, pd.CategoricalDtype):
            kept[name] = kept[name].cat.remove_unused_categories()
    return kept, int((~present).sum())


def refuse_missing(frame: pd.DataFrame, names: Sequence[str], patient: str) -> None:
    """Raise StatisticsError naming the first column with a missing value, how many rows lack it, and whose."""
    for name in dict.fromkeys(names):
        missing = frame[name].isna().to_numpy()
        if missing.any():
            who = list(dict.fromkeys(frame[patient][missing]))
            raise StatisticsError(
                f"column {name!r}",
                f"missing in {missing.sum()} of {len(frame)} rows (patient {listed(who)})",
                "a value in every row that has an outcome",
                "Fill it in, leave those patients out, or leave the column out of the model",
            )


def _matrices(parsed: ParsedFormula, frame: pd.DataFrame, labels: Sequence[str]) -> tuple[Array, Array, ModelSpec]:
    formula: StructuredFormula = parsed.formula
    try:
        with np.errstate(all="ignore"):
            matrices = formula.get_model_matrix(frame, context=FUNCTIONS, na_action="ignore")
    except FormulaicError as error:
        raise StatisticsError(
            f"formula {parsed.text!r}", str(error).rstrip("."), "terms that can be computed"
        ) from error
    y = np.asarray(matrices.lhs, dtype=np.float64)
    X = np.asarray(matrices.rhs, dtype=np.float64)
    if y.shape[1] != 1:
        raise StatisticsError(f"formula {parsed.text!r}", f"{y.shape[1]} outcomes", "one")
    spec: ModelSpec = matrices.rhs.model_spec
    outcome = parsed.text.split("~", maxsplit=1)[0].strip()
    for name, values in ((outcome, y[:, 0]), *zip(spec.column_names, X.T, strict=True)):
        wrong = ~np.isfinite(values)
        if wrong.any():
            raise StatisticsError(
                f"formula {parsed.text!r}", f"{name} cannot be computed for {some(labels, wrong)}", "finite numbers"
            )
    return y[:, 0].copy(), X, spec


def _refuse_reproduced(y: Array, basis: Orthogonal, formula: str) -> None:
    rest = y
    for _ in range(2):
        for column in basis.Q.T:
            rest = rest - np.sum(column * rest) * column
    if norm(rest) <= 1e-12 * norm(y):
        raise StatisticsError(
            f"formula {formula!r}", "the terms reproduce the outcome exactly", "an outcome with variation left to model"
        )
