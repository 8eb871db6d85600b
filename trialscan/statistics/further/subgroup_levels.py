"""The levels of a subgroup: whose patients are in which, and whether there are enough of them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.arm_data import EndpointData, counted
from trialscan.statistics.arms import choose_arms
from trialscan.statistics.further.plan import SubgroupPlan
from trialscan.statistics.plan import AnalysisPlan


def with_levels(
    data: EndpointData, subgroup: SubgroupPlan, plan: AnalysisPlan
) -> tuple[EndpointData, str, dict[str, str]]:
    """Records of patients in levels with enough patients in every arm, the factor's column, and who is left out.

    Raises
    ------
    StatisticsError : numbers without cuts, or cuts of a factor; arms that cannot be compared; fewer than two levels.
    """
    column, least = subgroup.column, plan.min_patients_per_arm
    numeric = not isinstance(data.records[column].dtype, pd.CategoricalDtype)
    if numeric != bool(subgroup.cuts):
        found = "numbers and no cuts" if numeric else "a factor, which cannot be cut"
        raise StatisticsError(f"subgroup {column}", found, "cuts for numbers, and none for a factor")
    factor = f"{column} group" if numeric else column
    levels = _cut(data.records[column], subgroup.cuts) if numeric else data.records[column]
    records = data.records.assign(**{factor: levels})
    sizes = _sizes(records, factor, plan)
    enough = [level for level in sizes.index if (sizes.loc[level] >= least).all()]
    few = [level for level in sizes.index if level not in enough and sizes.loc[level].any()]
    if len(enough) < 2:
        found = f"{len(enough)} level(s) with {least} patients in every arm"
        raise StatisticsError(f"subgroup {column}", found, "two or more")
    reasons = {f"patients without {column}": records[factor].isna()}
    reasons |= {f"level {level}: fewer than {least} patients in an arm": records[factor] == level for level in few}
    left_out = {why: counted(records["USUBJID"][gone]) for why, gone in reasons.items() if gone.any()}
    kept = records[records[factor].isin(enough)].reset_index(drop=True)
    kept[factor] = pd.Categorical(kept[factor].astype(str), categories=[str(level) for level in enough])
    return replace(data, records=kept), factor, left_out


def _sizes(records: pd.DataFrame, factor: str, plan: AnalysisPlan) -> pd.DataFrame:
    """Patients by level, a row each, and arm, among the arms that can be compared."""
    patients = records.drop_duplicates("USUBJID")
    by_arm = {str(arm): int(size) for arm, size in patients["TRT01P"].value_counts().sort_index().items()}
    arms = choose_arms(by_arm, plan, where=f"subgroup {factor}", what="patient(s) with a value")
    return pd.DataFrame(pd.crosstab(patients[factor], patients["TRT01P"], dropna=False)).reindex(
        columns=list(arms.names), fill_value=0
    )


def _cut(values: "pd.Series[float]", cuts: Sequence[float]) -> "pd.Series[Any]":
    """Levels such as ≤ 50, > 50 to 65, > 65."""
    between = [f"> {low:g} to {high:g}" for low, high in pairwise(cuts)]
    return pd.cut(values, [-np.inf, *cuts, np.inf], labels=[f"≤ {cuts[0]:g}", *between, f"> {cuts[-1]:g}"])
