"""One row a patient for the analyses of responders, counts and times: who takes part, and what is adjusted for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.arm_data import EndpointData, counted, endpoint_data, varying, with_covariates
from trialscan.statistics.arms import ModelledArms, choose_arms, patients_per_arm
from trialscan.statistics.columns import listed
from trialscan.statistics.estimand import under_estimand
from trialscan.statistics.orthogonal import orthogonalise
from trialscan.statistics.plan import AnalysisPlan, EndpointPlan


@dataclass(frozen=True)
class Population:
    """The patients of an analysis, a row each, by name.

    `frame` has USUBJID, TRT01P, the outcome's columns and the numbers to adjust for, under the names in `adjusted`;
    `covariates` are the columns behind those. `left_out` names who or what takes no part, and why.
    """

    frame: pd.DataFrame
    arms: ModelledArms
    adjusted: tuple[str, ...]
    covariates: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def sizes(self) -> dict[str, int]:
        """Patients by arm."""
        return {arm: int((self.frame["TRT01P"] == arm).sum()) for arm in self.arms.names}


def used_data(table: pd.DataFrame, plan: AnalysisPlan, name: str, endpoint: EndpointPlan) -> EndpointData:
    """The records that the plan's estimand lets an analysis use."""
    return under_estimand(endpoint_data(table, name, endpoint), plan.estimand)


def patient_rows(table: pd.DataFrame, code: str, columns: Sequence[str]) -> pd.DataFrame:
    """Every patient with a row of the parameter: USUBJID, TRT01P, the covariates, BASE and START.

    START is the study day of the patient's baseline visit; where the table has no baseline visit at all it is day 0.

    Raises
    ------
    StatisticsError : the table has no such parameter.
    """
    rows = table[table["PARAMCD"] == code]
    if not len(rows):
        raise StatisticsError(f"parameter {code}", "no rows in the analysis table", "rows of this parameter")
    patients = rows.drop_duplicates("USUBJID")[["USUBJID", "TRT01P", *columns]].reset_index(drop=True)
    baseline = rows[rows["ABLFL"] == "Y"].drop_duplicates("USUBJID").set_index("USUBJID")["ADY"]
    start = patients["USUBJID"].map(baseline).astype(np.float64) if len(baseline) else 0.0
    return patients.assign(BASE=patients["USUBJID"].map(rows.groupby("USUBJID")["BASE"].first()), START=start)


def after_start(data: EndpointData, patients: pd.DataFrame) -> pd.DataFrame:
    """Records with a value on a day after their patient's START, by patient and day, START with each."""
    start = data.records["USUBJID"].map(patients.set_index("USUBJID")["START"])
    records = data.records.assign(START=start)
    return records[(records["ADY"] > records["START"]) & (records["ABLFL"] != "Y")].reset_index(drop=True)


def without(patients: pd.DataFrame, reasons: Mapping[str, "pd.Series[bool]"]) -> tuple[pd.DataFrame, dict[str, str]]:
    """The patients whom no reason leaves out, and for each reason how many it leaves out, and who."""
    left_out = {why: counted(patients["USUBJID"][absent]) for why, absent in reasons.items() if absent.any()}
    gone = np.zeros(len(patients), dtype=bool)
    for absent in reasons.values():
        gone |= absent.to_numpy(dtype=bool)
    return patients[~gone].reset_index(drop=True), left_out


def population(
    patients: pd.DataFrame, data: EndpointData, plan: AnalysisPlan, left_out: Mapping[str, str], *, baseline: bool
) -> Population:
    """Those of `patients` who can be compared; with `baseline` it is adjusted for, on the scale of analysis.

    Raises
    ------
    StatisticsError : nothing can be compared, or a covariate repeats others.
    """
    known, lacking = with_covariates(patients, plan.columns)
    known, unassigned = without(known, {"patients without an arm": known["TRT01P"].isna()})
    where = f"parameter {data.code}"
    every = {str(arm): 0 for arm in sorted(data.records["TRT01P"].dropna().unique())}
    counts = every | patients_per_arm(known, known["USUBJID"])
    arms = choose_arms(counts, plan, where=where, what="patient(s) who can be analysed")
    frame = arms.of(known)
    kept, constant = varying(frame, plan.columns)
    numbers = pd.DataFrame(index=frame.index)
    if baseline and frame["BASE"].nunique() > 1:
        numbers[data.response("BASE")] = np.log1p(frame["BASE"]) if _logarithmic(data) else frame["BASE"]
    numbers = numbers.join(_numbers(frame, kept))
    _refuse_aliased(frame, arms, numbers, where)
    outcome = frame.drop(columns=[name for name in frame.columns if name in numbers.columns])
    return Population(
        frame=outcome.join(numbers),
        arms=arms,
        adjusted=tuple(numbers.columns),
        covariates=kept,
        left_out={**data.left_out, **left_out, **lacking, **unassigned, **constant},
    )


def _logarithmic(data: EndpointData) -> bool:
    return data.endpoint.transform == "log1p"


def _numbers(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Covariates as numbers: factors as indicators of every level but the first."""
    columns = {}
    for name in names:
        if not isinstance(frame[name].dtype, pd.CategoricalDtype):
            columns[name] = frame[name].astype(np.float64)
            continue
        levels = frame[name].cat.remove_unused_categories().cat.categories
        columns |= {f"{name}[T.{level}]": (frame[name] == level).astype(np.float64) for level in levels[1:]}
    return pd.DataFrame(columns, index=frame.index)


def _refuse_aliased(frame: pd.DataFrame, arms: ModelledArms, numbers: pd.DataFrame, where: str) -> None:
    others = [(frame["TRT01P"] == arm).to_numpy(dtype=np.float64) for arm in arms.names[1:]]
    X = np.column_stack([np.ones(len(frame)), *others, numbers.to_numpy(dtype=np.float64)])
    aliased = [index - len(arms.names) for index in orthogonalise(X).aliased]
    if aliased:
        names = listed([str(numbers.columns[index]) for index in aliased])
        raise StatisticsError(where, f"covariate(s) {names} repeat the arms or each other", "ones that do not")
