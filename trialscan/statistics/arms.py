"""Which arms a model can hold, and which is the reference."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed
from trialscan.statistics.plan import AnalysisPlan


@dataclass(frozen=True)
class ModelledArms:
    """Arms with enough patients, the reference first; `too_few`: arm → why it is not modelled."""

    names: tuple[str, ...]
    too_few: Mapping[str, str]

    @property
    def reference(self) -> str:
        """The arm the others are compared with."""
        return self.names[0]

    def of(self, records: pd.DataFrame) -> pd.DataFrame:
        """The records of these arms, TRT01P as a factor with the reference first."""
        kept = records[records["TRT01P"].isin(self.names)].reset_index(drop=True)
        return kept.assign(TRT01P=pd.Categorical(kept["TRT01P"], categories=self.names))


def choose_arms(patients: Mapping[str, int], plan: AnalysisPlan, *, where: str, what: str) -> ModelledArms:
    """The arms with at least `min_patients_per_arm` patients; `what` says which patients count.

    Raises
    ------
    StatisticsError : no arms, one arm, or fewer than two left, or the reference arm not among them.
    """
    least = plan.min_patients_per_arm
    if len(patients) < 2:
        found = f"only one arm ({next(iter(patients))})" if patients else "no patient has an arm"
        raise StatisticsError(where, found, "at least two arms to compare")
    reference = plan.reference_arm if plan.reference_arm is not None else min(patients)
    too_few = {arm: f"{count} {what}" for arm, count in sorted(patients.items()) if count < least}
    names = tuple(sorted((arm for arm in patients if arm not in too_few), key=lambda arm: (arm != reference, arm)))
    if reference in too_few or len(names) < 2:
        found = listed([f"arm {arm} has {text}" for arm, text in too_few.items()])
        raise StatisticsError(where, found, f"at least {least} in each of two arms, the reference among them")
    return ModelledArms(names, too_few)


def patients_per_arm(records: pd.DataFrame, chosen: "pd.Series[str]") -> dict[str, int]:
    """Number of `chosen` patients in every arm of the records, arms without any included."""
    counts = {str(arm): 0 for arm in sorted(records["TRT01P"].dropna().unique())}
    of_patient = records.drop_duplicates("USUBJID").set_index("USUBJID")["TRT01P"]
    for arm in of_patient[sorted(set(chosen))].dropna():
        counts[str(arm)] += 1
    return counts
