"""One row a patient: arm, covariates and outcome, checked, and its model matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import (
    listed,
    numeric_column,
    refuse_duplicates,
    require_columns,
    some,
    text_column,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ArmTable:
    """Patients in the table's order of names.

    `arms` has the reference first; `arm` (n,) indexes it. `X` (n, p) is intercept, other arms, covariates, under
    `names`. `columns` holds the numeric columns asked for.
    """

    patients: tuple[str, ...]
    arms: tuple[str, ...]
    arm: NDArray[np.intp]
    X: Array
    names: tuple[str, ...]
    columns: dict[str, Array]

    @property
    def comparisons(self) -> dict[str, str]:
        """Coefficient name → arm, for every arm but the reference."""
        return dict(zip(self.names[1 : len(self.arms)], self.arms[1:], strict=True))


def arm_table(
    data: pd.DataFrame,
    *,
    patient: str,
    arm: str,
    reference: str | None,
    covariates: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> ArmTable:
    """Read a table of one row a patient; covariates and `numbers` are numeric columns without missing values.

    Raises
    ------
    StatisticsError : an absent column; two rows for a patient; a patient without an arm; a missing or infinite number,
        naming the patients; fewer than two arms; an unknown reference (None takes the first arm by name).
    """
    require_columns(data, (patient, arm, *covariates, *numbers))
    table = data.assign(**{patient: text_column(data[patient]), arm: text_column(data[arm])})
    table = table.sort_values(patient, kind="stable", ignore_index=True)
    labels = [f"patient {name}" for name in table[patient]]
    refuse_duplicates(labels, "patient")
    without = table[arm].isna().to_numpy()
    if without.any():
        raise StatisticsError(f"column {arm!r}", f"no arm for {some(labels, without)}", "an arm for every patient")
    values = {}
    for name in (*covariates, *numbers):
        values[name] = numeric_column(table, name)
        wrong = ~np.isfinite(values[name])
        if wrong.any():
            raise StatisticsError(f"column {name!r}", f"no finite value for {some(labels, wrong)}", "finite numbers")
    found = sorted(set(table[arm]))
    first = found[0] if reference is None and found else str(reference)
    if first not in found or len(found) < 2:
        raise StatisticsError(f"column {arm!r}", f"arms {listed(found)}", f"{first!r} and at least one other")
    arms = (first, *(name for name in found if name != first))
    codes = np.array([arms.index(name) for name in table[arm]], dtype=np.intp)
    columns = [np.ones(len(table)), *((codes == index).astype(float) for index in range(1, len(arms)))]
    return ArmTable(
        patients=tuple(table[patient]),
        arms=arms,
        arm=codes,
        X=np.column_stack([*columns, *(values[name] for name in covariates)]),
        names=("Intercept", *(f"{arm}[T.{name}]" for name in arms[1:]), *covariates),
        columns={name: values[name] for name in numbers},
    )


def wald_table(names: Sequence[str], estimate: Array, se: Array, alpha: float) -> pd.DataFrame:
    """estimate, se, z, p, lower, upper by name, with normal inference."""
    z = estimate / se
    reach = stats.norm.isf(alpha / 2) * se
    return pd.DataFrame(
        {
            "estimate": estimate,
            "se": se,
            "z": z,
            "p": 2 * stats.norm.sf(np.abs(z)),
            "lower": estimate - reach,
            "upper": estimate + reach,
        },
        index=pd.Index(names, name="name"),
    )


def ratios(coefficients: pd.DataFrame, table: ArmTable) -> pd.DataFrame:
    """A row each other arm: coefficient and interval of a `wald_table` of logs as ratios to the reference, and p."""
    chosen = coefficients.loc[list(table.comparisons)]
    back = chosen[["estimate", "lower", "upper"]].apply(np.exp).assign(p=chosen["p"])
    return back.set_axis(pd.Index(table.comparisons.values(), name="arm"))
