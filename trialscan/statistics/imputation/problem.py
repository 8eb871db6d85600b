"""From a long table to what imputation needs: every patient at every visit, in the order of patients and visits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed, numeric_column, require_columns, text_column
from trialscan.statistics.formula import parse_formula
from trialscan.statistics.imputation.ancova import VisitAncova, visit_ancova
from trialscan.statistics.imputation.conditional import Courses
from trialscan.statistics.mmrm.design import VisitDesign, build_visit_design, visit_positions

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Keys:
    """The columns of patient, visit, arm and first affected visit, the reference arm, and the visits in order."""

    patient: str
    visit: str
    arm: str
    reference: str
    first_affected: str
    order: tuple[str, ...]


@dataclass(frozen=True)
class ModelData:
    """The outcomes that an imputation model is fitted to, and all patients' courses in the columns of that model."""

    design: VisitDesign
    courses: Courses


@dataclass(frozen=True)
class Problem:
    """Patients, visits and arms, the analysis of completed outcomes, and the data of the imputation models.

    `kept` has every observed outcome, `before` lacks those observed after an event; both are one object where there
    are none. `arm_of` (n,) indexes `arms`, the reference first. `missing` (n, m) marks the outcomes to be imputed.
    """

    patients: tuple[str, ...]
    visits: tuple[str, ...]
    arms: tuple[str, ...]
    arm_of: NDArray[np.intp]
    missing: NDArray[np.bool_]
    ancova: VisitAncova
    kept: ModelData
    before: ModelData

    def models(self, strategies: Sequence[str]) -> list[tuple[ModelData, list[str]]]:
        """The imputation models to fit, each with the strategies that share it: MAR uses outcomes after an event."""
        if self.before is self.kept:
            return [(self.kept, list(strategies))]
        mar = [name for name in strategies if name == "MAR"]
        others = [name for name in strategies if name != "MAR"]
        return [(data, names) for data, names in ((self.kept, mar), (self.before, others)) if names]


def build_problem(data: pd.DataFrame, formula: str, keys: Keys, covariates: Sequence[str]) -> Problem:
    """Read the table; arguments and faults as in `reference_based`."""
    require_columns(data, (keys.arm, keys.first_affected, *covariates))
    rows = _sorted_rows(data, keys)
    patients = tuple(dict.fromkeys(rows[keys.patient]))
    _refuse_gaps(rows, keys, patients)
    n, m = len(patients), len(keys.order)
    events = visit_positions(rows[keys.first_affected], keys.order).reshape(n, m)[:, 0]
    after = np.arange(m)[None, :] >= np.where(np.isnan(events), m, events)[:, None]
    outcome = parse_formula(formula, rows).outcome_columns
    if len(outcome) != 1:
        raise StatisticsError(f"formula {formula!r}", f"{len(outcome)} outcome columns", "one, not transformed")
    y = numeric_column(rows, outcome[0]).reshape(n, m)
    arms = _arms(rows, keys)
    kept = before = _model_data(rows, formula, keys, y, after)
    if np.any(after & ~np.isnan(y)):
        unaffected = rows.assign(**{outcome[0]: np.where(after, np.nan, y).ravel()})
        before = _model_data(unaffected, formula, keys, y, after)
    return Problem(
        patients=patients,
        visits=keys.order,
        arms=arms,
        arm_of=np.array([arms.index(name) for name in rows[keys.arm].iloc[::m]], dtype=np.intp),
        missing=np.isnan(y),
        ancova=visit_ancova(rows.iloc[::m], keys.arm, arms, covariates),
        kept=kept,
        before=before,
    )


def _sorted_rows(data: pd.DataFrame, keys: Keys) -> pd.DataFrame:
    rows = data.assign(**{keys.patient: text_column(data[keys.patient]), keys.arm: text_column(data[keys.arm])})
    position = visit_positions(data[keys.visit], keys.order)
    order = np.lexsort((position, rows[keys.patient].to_numpy(dtype=str)))
    return pd.DataFrame(rows.iloc[order].reset_index(drop=True))


def _refuse_gaps(rows: pd.DataFrame, keys: Keys, patients: Sequence[str]) -> None:
    counts = rows[keys.patient].value_counts()
    if wrong := [name for name in patients if counts[name] != len(keys.order)]:
        raise StatisticsError(
            "data",
            f"patient {listed(wrong)} without exactly one row for each of {len(keys.order)} visits",
            "a row for every patient and visit, with an empty outcome where it is missing",
        )


def _arms(rows: pd.DataFrame, keys: Keys) -> tuple[str, ...]:
    present = set(rows[keys.arm].dropna())
    arms = (keys.reference, *sorted(present - {keys.reference}))
    if keys.reference not in present or len(arms) < 2:
        raise StatisticsError(f"column {keys.arm!r}", f"arms {listed(arms)}", f"{keys.reference!r} and another arm")
    return arms


def _model_data(rows: pd.DataFrame, formula: str, keys: Keys, y: Array, after: NDArray[np.bool_]) -> ModelData:
    """The model of the outcomes in `rows`; y (n, m) are all that were observed."""
    design = build_visit_design(rows, formula, patient=keys.patient, visit=keys.visit, visit_order=keys.order)
    if keys.arm not in design.model_columns:
        raise StatisticsError(f"formula {formula!r}", f"no term of the arm {keys.arm!r}", "the arm among its terms")
    frame = _coded(rows, design)
    as_reference = pd.Categorical([keys.reference] * len(frame), frame[keys.arm].cat.categories)
    shape = (*y.shape, len(design.names))
    own, reference = (design.matrix(each).reshape(shape) for each in (frame, frame.assign(**{keys.arm: as_reference})))
    return ModelData(design, Courses(y, own, reference, after))


def _coded(rows: pd.DataFrame, design: VisitDesign) -> pd.DataFrame:
    """The columns of the model for every row, factors with the levels of the fitted rows."""
    out = {}
    for name in design.model_columns:
        known = design.frame[name]
        if isinstance(known.dtype, pd.CategoricalDtype):
            text = text_column(rows[name])
            if unknown := sorted(set(text.dropna()) - set(known.cat.categories)):
                raise StatisticsError(f"column {name!r}", f"no outcome for {listed(unknown)}", "an outcome somewhere")
            out[name] = pd.Series(pd.Categorical(text, known.cat.categories))
        else:
            out[name] = pd.Series(numeric_column(rows, name))
        if out[name].isna().any():
            raise StatisticsError(f"column {name!r}", "missing in a row to be imputed", "a value in every row")
    return pd.DataFrame(out)
