"""Who takes part in an analysis of change from baseline, in which arms, and the terms of its formula."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from trialscan.statistics.arm_data import EndpointData, counted, term, varying, with_covariates
from trialscan.statistics.arms import ModelledArms, choose_arms, patients_per_arm
from trialscan.statistics.plan import AnalysisPlan


@dataclass(frozen=True)
class Changes:
    """Records after baseline of the modelled arms, with what a formula and a record need.

    `outcome` is change on the scale of analysis and `base` the baseline on it; `covariates` are those that vary, and
    `terms` the same as a formula writes them. `left_out` names who or what takes no part, and why.
    """

    records: pd.DataFrame
    arms: ModelledArms
    outcome: str
    base: str
    covariates: tuple[str, ...]
    terms: tuple[str, ...]
    left_out: Mapping[str, str]


def changes_from_baseline(
    records: pd.DataFrame, data: EndpointData, plan: AnalysisPlan, *, where: str, what: str
) -> Changes:
    """Prepare `records`, some or all of `data.after_baseline()`.

    Raises
    ------
    StatisticsError : nothing can be compared; `where` and `what` say of what (see `choose_arms`).
    """
    known, left_out = with_covariates(records, plan.columns)
    for reason, absent in {
        "patients without a baseline value": known["BASE"].isna(),
        "patients without an arm": known["TRT01P"].isna(),
    }.items():
        if absent.any():
            left_out[reason] = counted(known["USUBJID"][absent])
    present = known[known["BASE"].notna()].reset_index(drop=True)
    every = {str(arm): 0 for arm in sorted(data.records["TRT01P"].dropna().unique())}
    arms = choose_arms(every | patients_per_arm(present, present["USUBJID"]), plan, where=where, what=what)
    modelled = arms.of(present)
    covariates, constant = varying(modelled, plan.columns)
    value, base = data.response("AVAL"), data.response("BASE")
    return Changes(
        records=modelled,
        arms=arms,
        outcome=f"{{{value} - {base}}}",
        base=base,
        covariates=covariates,
        terms=tuple(map(term, covariates)),
        left_out={**left_out, **constant},
    )
