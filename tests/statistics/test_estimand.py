"""Intercurrent events: which visits they affect, which outcomes are given up, and what is reported."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trialscan.errors import StatisticsError
from trialscan.statistics import AnalysisPlan, EndpointPlan, Estimand, IntercurrentEvent, compare_arms
from trialscan.statistics.arm_data import endpoint_data, read_analysis
from trialscan.statistics.estimand import first_affected, under_estimand

PLAN = AnalysisPlan((EndpointPlan("X", "none", primary=True),))
VISITS = ("V1", "V2", "V3")
DAYS = {"BL": 0, "V1": 28, "V2": 56, "V3": 84}


def table(courses: dict[str, str], **events: dict[str, float]) -> pd.DataFrame:
    """Patients by a letter a visit: O with a value, . with a row but none, blank without a row."""
    rows = []
    for who, course in courses.items():
        for number, (visit, letter) in enumerate(zip(DAYS, f"O{course}", strict=True)):
            if letter != " ":
                value = float(number) if letter == "O" else None
                rows.append((who, "ab"[int(who[1:]) % 2], visit, number, DAYS[visit], value))
    out = pd.DataFrame(rows, columns=["USUBJID", "TRT01P", "AVISIT", "AVISITN", "ADY", "AVAL"])
    out = out.assign(PARAMCD="X", PARAM="X", BASE=0.0, ABLFL=np.where(out["AVISITN"] == 0, "Y", None))
    out["ANL01FL"] = out["AVAL"].notna().map({True: "Y", False: None})
    return out.assign(**{name: out["USUBJID"].map(days) for name, days in events.items()})


def endpoint(rows: pd.DataFrame, *events: IntercurrentEvent):
    estimand = Estimand(events=events)
    plan = replace(PLAN, estimand=estimand)
    return endpoint_data(read_analysis(rows, plan), "primary", plan.endpoints[0]), estimand


def test_without_events_drop_out_affects_the_visits_after_the_last_outcome():
    data, estimand = endpoint(table({"P1": "OOO", "P2": "O  ", "P3": "O O", "P4": "...", "P5": "OO."}))
    assert first_affected(data, VISITS, estimand).to_dict() == {
        "P1": None,
        "P2": "V2",
        "P3": None,
        "P4": "V1",
        "P5": "V3",
    }


def test_an_event_affects_visits_from_its_day_on():
    courses = {"P1": "OOO", "P2": "OOO", "P3": "O O", "P4": "O O", "P5": "OO ", "P6": "   "}
    stop = {"P1": 56, "P2": 57, "P3": 40, "P4": 60, "P6": -3}
    data, estimand = endpoint(table(courses, STOP=stop), IntercurrentEvent("stop", "treatment_policy", "STOP"))
    assert first_affected(data, VISITS, estimand).to_dict() == {
        "P1": "V2",
        "P2": "V3",
        "P3": "V2",  # V2 was missed; its usual day 56 lies after day 40
        "P4": "V3",
        "P5": None,  # no event: what is missing is missing at random
        "P6": "V1",
    }


def test_a_visit_on_the_patients_own_early_day_is_not_affected():
    rows = table({"P1": "O O", "P2": "OOO", "P3": "OOO"}, STOP={"P1": 50})
    rows.loc[(rows["USUBJID"] == "P1") & (rows["AVISIT"] == "V3"), "ADY"] = 45
    data, estimand = endpoint(rows, IntercurrentEvent("stop", "treatment_policy", "STOP"))
    assert first_affected(data, VISITS, estimand)["P1"] is None


def test_the_first_of_several_events_counts_and_drop_out_may_be_one():
    courses = {"P1": "OOO", "P2": "OOO", "P3": "O  "}
    rows = table(courses, STOP={"P1": 80}, RESCUE={"P1": 50, "P2": 84})
    stop = IntercurrentEvent("stop", "hypothetical", "STOP")
    rescue = IntercurrentEvent("rescue", "treatment_policy", "RESCUE")
    data, estimand = endpoint(rows, stop, rescue, IntercurrentEvent("drop-out", "treatment_policy"))
    assert first_affected(data, VISITS, estimand).to_dict() == {"P1": "V2", "P2": "V3", "P3": "V2"}


def test_outcomes_from_a_hypothetical_event_on_are_given_up_and_the_baseline_is_not():
    rows = table({"P1": "OOO", "P2": "OOO", "P3": "OOO"}, STOP={"P1": 56, "P2": -5}, RESCUE={"P3": 1})
    events = (
        IntercurrentEvent("stop", "hypothetical", "STOP"),
        IntercurrentEvent("rescue", "treatment_policy", "RESCUE"),
    )
    data, estimand = endpoint(rows, *events)
    used = under_estimand(data, estimand)
    kept = used.records.groupby("USUBJID")["AVISIT"].apply(list).to_dict()
    assert kept == {"P1": ["BL", "V1"], "P2": ["BL"], "P3": ["BL", "V1", "V2", "V3"]}
    assert used.left_out == {"records from a hypothetical intercurrent event on": "5 of patients 2 (P1, P2)"}
    assert under_estimand(*endpoint(rows, events[1])).left_out == {}


def test_a_hypothetical_event_gives_what_the_table_without_those_outcomes_gives(analysis):
    stop = analysis["USUBJID"].map({"P02": 50.0, "P05": 70.0, "P08": 20.0})
    marked = analysis.assign(STOP=stop)
    events = (IntercurrentEvent("stop", "hypothetical", "STOP"),)
    plan = AnalysisPlan((EndpointPlan("BURDENML", primary=True),), model="mmrm")
    under = compare_arms(marked, replace(plan, estimand=Estimand(events=events)))
    kept = compare_arms(marked[~(marked["ADY"] >= stop) | (marked["ABLFL"] == "Y")], plan)
    for kind in ("primary.mmrm", "primary.random_slope"):
        first, second = (each.results[each.results["analysis_id"] == kind] for each in (under, kept))
        pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))
    whole = compare_arms(marked, plan).results
    described = [each.query("analysis_id == 'primary.descriptive'") for each in (under.results, whole)]
    pd.testing.assert_frame_equal(*described)


def test_the_estimand_is_reported(analysis):
    events = (IntercurrentEvent("stop", "hypothetical", "STOP"), IntercurrentEvent("drop-out", "treatment_policy"))
    estimand = Estimand("all randomised patients", "drug against placebo", events)
    plan = AnalysisPlan((EndpointPlan("BURDENML", primary=True),), estimand=estimand)
    marked = analysis.assign(STOP=analysis["USUBJID"].map({"P02": "50", "P05": "70"}))
    record = {model["analysis_id"]: model for model in compare_arms(marked, plan).models}["primary.estimand"]
    assert record["population"] == "all randomised patients"
    assert record["variable"] == "Burden (ml), analysed as log(Burden + 1 ml)"
    assert record["summary"] == "difference between arms in mean change a day"
    first, second = record["intercurrent_events"]
    assert (first["strategy"], first["patients_by_arm"]) == ("hypothetical", {"a": 1, "b": 1})
    assert second["from"] == "the visit after the last observed outcome"
    assert record["sensitivity_analyses"] == []


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (lambda rows: rows["AVISITN"].astype(float), "column 'STOP': several days for patient P1"),
        (lambda rows: pd.Series(["soon"] * len(rows)), "'soon' is not a number"),
        (lambda rows: pd.Series([np.inf] * len(rows)), "infinite value"),
        (None, "no column named 'STOP'"),
    ],
)
def test_days_that_cannot_be_used(column, words):
    rows = table({"P1": "OOO", "P2": "OOO"})
    given = rows if column is None else rows.assign(STOP=column(rows))
    with pytest.raises(StatisticsError, match=words):
        endpoint(given, IntercurrentEvent("stop", "hypothetical", "STOP"))


def test_a_strategy_that_is_not_carried_out():
    with pytest.raises(StatisticsError, match="event 'death': strategy 'composite'"):
        IntercurrentEvent("death", "composite")
