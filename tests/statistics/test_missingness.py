"""Patterns of observed and missing visits, counted by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd

from trialscan.statistics import AnalysisPlan, EndpointPlan, Estimand, IntercurrentEvent, compare_arms

PLAN = AnalysisPlan((EndpointPlan("BURDENML", primary=True),))
GONE = {"P00": "V3", "P02": "V2 V3", "P04": "V2", "P01": "V1 V2 V3", "P06": "V3"}


def lacking(analysis: pd.DataFrame) -> pd.DataFrame:
    """24 patients without some visits; P06's last one has a row without a value."""
    gone = [
        visit in GONE.get(who, "").split() for who, visit in zip(analysis["USUBJID"], analysis["AVISIT"], strict=True)
    ]
    failed = (analysis["USUBJID"] == "P06") & np.array(gone)
    table = analysis.assign(AVAL=analysis["AVAL"].where(~failed), ANL01FL=analysis["ANL01FL"].where(~failed, None))
    return table[~pd.Series(gone, index=table.index) | failed]


def record_of(table: pd.DataFrame, plan: AnalysisPlan = PLAN):
    comparison = compare_arms(table, plan)
    record = next(model for model in comparison.models if model["analysis_id"] == "primary.missingness")
    return record, comparison.results.query("analysis_id == 'primary.missingness'")


def test_patterns_and_visits_are_counted_by_arm(analysis):
    record, rows = record_of(lacking(analysis))
    assert record["visits"] == ["V1", "V2", "V3"]
    a, b = record["arms"]
    assert (a["arm"], a["n_patients"], a["n_complete"], a["n_monotone"], a["n_intermittent"]) == ("a", 12, 8, 3, 1)
    assert [(each["pattern"], each["kind"], each["n"]) for each in a["patterns"]] == [
        ("O O O", "complete", 8),
        ("O O M", "monotone", 2),
        ("O M O", "intermittent", 1),
        ("O M M", "monotone", 1),
    ]
    assert [(each["n_observed"], each["n_missing"]) for each in a["visits"]] == [(12, 0), (10, 2), (9, 3)]
    assert [(each["pattern"], each["kind"], each["n"]) for each in b["patterns"]] == [
        ("O O O", "complete", 11),
        ("M M M", "monotone", 1),
    ]
    cells = rows.set_index(["visit", "arm", "statistic"])["value"]
    assert cells["", "a", "n[O O M]"] == 2
    assert cells["", "a", "percent[O O M]"] == 100 * 2 / 12
    assert cells["V3", "a", "percent_missing"] == 25
    assert cells.index.is_unique


def test_outcomes_given_up_are_told_from_missing_ones(analysis):
    events = (IntercurrentEvent("stop", "hypothetical", "STOP"),)
    marked = lacking(analysis).assign(STOP=lambda rows: rows["USUBJID"].map({"P04": 70, "P08": 45, "P02": 20}))
    record, rows = record_of(marked, replace(PLAN, estimand=Estimand(events=events)))
    found = {each["pattern"]: (each["kind"], each["n"]) for each in record["arms"][0]["patterns"]}
    assert found["O M X"] == ("monotone", 1)
    assert found["O X X"] == ("monotone", 1)
    assert found["X M M"] == ("monotone", 1)
    assert rows["note"].str.contains("X observed from a hypothetical intercurrent event on and not used").any()


def test_patients_without_an_arm_and_visits_before_baseline(analysis):
    arms = analysis["TRT01P"].where(analysis["USUBJID"] != "P03", None)
    early = analysis["ADY"].where(analysis["AVISIT"] != "V1", -20.0)
    record, _ = record_of(analysis.assign(TRT01P=arms, ADY=early))
    assert record["visits"] == ["V2", "V3"]
    assert [(each["arm"], each["n_patients"]) for each in record["arms"]] == [("", 1), ("a", 12), ("b", 11)]


def test_no_visit_after_baseline_is_said(analysis):
    comparison = compare_arms(analysis[analysis["AVISITN"] == 0], PLAN)
    assert "no patient has a row after baseline" in dict(comparison.absent)["primary.missingness"]
