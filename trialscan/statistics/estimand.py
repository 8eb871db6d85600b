"""Intercurrent events: which outcomes are used, which visits an event affects, and the estimand as it is reported."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.statistics.arm_data import EndpointData, counted, follow_up, is_follow_up
from trialscan.statistics.arms import patients_per_arm
from trialscan.statistics.estimand_plan import Estimand, IntercurrentEvent
from trialscan.statistics.plan import AnalysisPlan

Array = NDArray[np.float64]
KIND = "estimand"


def under_estimand(data: EndpointData, estimand: Estimand) -> EndpointData:
    """The data that models use: outcomes after baseline from a hypothetical event on are given up, and told."""
    columns = [event.day for event in estimand.events if event.strategy == "hypothetical" and event.day is not None]
    records = data.records
    if not columns or records.empty:
        return data
    gone = is_follow_up(records) & (records["ADY"] >= records[columns].min(axis=1))
    if not gone.any():
        return data
    reason = "records from a hypothetical intercurrent event on"
    told = f"{int(gone.sum())} of patients {counted(records['USUBJID'][gone])}"
    return replace(data, records=records[~gone].reset_index(drop=True), left_out={**data.left_out, reason: told})


def first_affected(data: EndpointData, visits: Sequence[str], estimand: Estimand) -> "pd.Series[str]":
    """By patient, the first of `visits` that an intercurrent event affects; missing for none.

    An event with a day affects visits from that day on; a visit that the patient missed takes the median day of the
    others. Where drop-out is an event it affects the visits after the last observed outcome.
    """
    rows = follow_up(data.rows)
    patients = pd.Index(sorted(set(data.rows["USUBJID"])), name="USUBJID")
    observed = _wide(data.after_baseline(), "AVAL", patients, visits).notna().to_numpy()
    days = _wide(rows, "ADY", patients, visits)
    known = days.to_numpy(dtype=np.float64)
    nominal = rows.groupby("AVISIT")["ADY"].median().reindex(list(visits)).to_numpy(dtype=np.float64)
    planned = np.where(np.isnan(known), nominal, known)
    m = len(visits)
    first = _after_last(observed) if estimand.drop_out else np.full(len(patients), m)
    for column in estimand.columns:
        event = data.rows.groupby("USUBJID")[column].first().reindex(patients).to_numpy(dtype=np.float64)[:, None]
        later = np.arange(m) >= _after_last(observed & (known < event))[:, None]
        reached = (planned >= event) & later
        first = np.minimum(first, np.where(reached.any(axis=1), reached.argmax(axis=1), m))
    names = np.array([*visits, None], dtype=object)
    return pd.Series(names[first], index=patients, dtype=object)


def estimand_record(data: EndpointData, plan: AnalysisPlan) -> dict[str, Any]:
    """The five attributes of ICH E9(R1) and the sensitivity analyses planned, for models.json."""
    estimand, missing = plan.estimand, plan.missing_data
    drop_out = [] if estimand.events else [IntercurrentEvent("drop-out", "treatment_policy")]
    return {
        "analysis_id": f"{data.name}.{KIND}",
        "kind": KIND,
        "parameter": data.code,
        "population": estimand.population,
        "treatment": estimand.treatment,
        "variable": f"{data.label}, analysed as {data.scale}",
        "intercurrent_events": [_event_record(event, data) for event in (*estimand.events, *drop_out)],
        "summary": estimand.summary or _summary(plan),
        "sensitivity_analyses": [
            *(f"{data.name}.reference_based.{name}" for name in missing.strategies),
            *([f"{data.name}.tipping_point"] if missing.tipping is not None else []),
        ],
    }


def _event_record(event: IntercurrentEvent, data: EndpointData) -> dict[str, Any]:
    how = {
        "treatment_policy": "outcomes after the event are used where they were observed",
        "hypothetical": "outcomes from the event on are not used, as if it had not happened",
    }
    record: dict[str, Any] = {"event": event.event, "strategy": event.strategy, "means": how[event.strategy]}
    if event.day is None:
        return record | {"from": "the visit after the last observed outcome"}
    having = data.rows["USUBJID"][data.rows[event.day].notna()]
    return record | {"from": f"the day in {event.day}", "patients_by_arm": patients_per_arm(data.rows, having)}


def _summary(plan: AnalysisPlan) -> str:
    if plan.model == "mmrm":
        return "difference between arms in mean change from baseline at the last visit"
    return "difference between arms in mean change a day"


def _wide(rows: pd.DataFrame, column: str, patients: pd.Index, visits: Sequence[str]) -> pd.DataFrame:
    """Patients by visits."""
    chosen = rows[rows["AVISIT"].isin(visits)]
    return chosen.pivot(index="USUBJID", columns="AVISIT", values=column).reindex(index=patients, columns=list(visits))


def _after_last(marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Each row's place after its last marked one; 0 where none is."""
    m = marked.shape[1]
    return np.asarray(np.where(marked.any(axis=1), m - marked[:, ::-1].argmax(axis=1), 0), dtype=np.intp)
