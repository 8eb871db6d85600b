"""Analyses that a plan names, made from the analysis table: against R, by hand, and honest about who is left out."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from trialscan.errors import StatisticsError
from trialscan.statistics import AnalysisPlan, EndpointPlan, compare_arms
from trialscan.statistics.arm_data import read_analysis
from trialscan.statistics.estimand_plan import IntercurrentEvent
from trialscan.statistics.further.count_analysis import count_analysis
from trialscan.statistics.further.event_analysis import event_analysis
from trialscan.statistics.further.plan import CountPlan, EventPlan, FurtherPlan, ResponderPlan
from trialscan.statistics.further.responder_analysis import responder_analysis
from trialscan.statistics.rows import results_table

RESPONSE = ResponderPlan("small", "VOLML", "V5", at_most=5.0)
PROGRESSION = EventPlan("progression", "VOLML", "baseline", 20.0)


def made(analyse, table, plan, named):
    """Results and record of an analysis of the table as `compare_arms` reads it."""
    rows, record, too_few = analyse(read_analysis(table, plan), plan, named)
    assert too_few == {}
    return results_table(rows), record


def long_table(patients: dict[str, tuple], days=(0, 28, 56, 84), code="VOLML") -> pd.DataFrame:
    """An analysis table; a patient is (arm, value a visit …), the first at baseline, None where there is none."""
    rows = []
    for who, (arm, *values) in patients.items():
        for number, value in enumerate(values):
            first = values[0]
            flags = ("Y" if number == 0 else None, "Y" if value is not None else None)
            rows.append((who, arm, code, "Volume (ml)", f"V{number}", number, days[number], value, first, *flags))
    names = ["USUBJID", "TRT01P", "PARAMCD", "PARAM", "AVISIT", "AVISITN", "ADY", "AVAL", "BASE", "ABLFL", "ANL01FL"]
    return pd.DataFrame(rows, columns=names).astype({"AVAL": float, "BASE": float})


SMALL = AnalysisPlan((EndpointPlan("VOLML", "none", primary=True),), min_patients_per_arm=2)


def test_responders_are_rs(lesion_trial, plan, cell):
    table, theirs = lesion_trial
    results, record = made(responder_analysis, table, plan, RESPONSE)
    assert record["responders_by_arm"] == {"control": 21, "active": 36}
    assert record["patients_by_arm"] == {"control": 100, "active": 100}
    assert record["adjusted_for"] == ["log1p(BASE)"]
    seen = table[(table["PARAMCD"] == "VOLML") & (table["AVISIT"] == "V5")]["AVAL"].notna().sum()
    assert record["without_a_value_counted_as_nonresponders"].startswith(f"{200 - seen} (")
    at = {"visit": "V5", "arm": "active", "comparator": "control"}
    odds = [cell(results, "responders.small", f"odds_ratio{end}", **at) for end in ("", "_lower", "_upper")]
    assert_allclose(odds, theirs["responder"]["odds_ratio"], rtol=1e-6)
    limits = [cell(results, "responders.small", f"risk_difference_{end}", **at) for end in ("lower", "upper")]
    assert_allclose(limits, theirs["responder"]["risk_difference"]["newcombe_95"], rtol=1e-9)
    assert_allclose(cell(results, "responders.small", "fisher_p", **at), theirs["responder"]["fisher_p"], rtol=1e-9)


def test_time_to_progression_is_rs(lesion_trial, plan, cell):
    table, theirs = lesion_trial
    results, record = made(event_analysis, table, plan, PROGRESSION)
    theirs = theirs["time_to_progression"]
    assert sum(record["events_by_arm"].values()) == theirs["events"]
    assert sum(record["patients_by_arm"].values()) == theirs["n"]
    assert_allclose(cell(results, "events.progression", "logrank_chi2"), theirs["logrank_chisq"], rtol=1e-9)
    assert_allclose(cell(results, "events.progression", "logrank_p"), theirs["logrank_p"], rtol=1e-9)
    hazard = theirs["cox_efron_adjusted"][0]
    at = {"arm": "active", "comparator": "control"}
    assert_allclose(
        np.log([cell(results, "events.progression", name, **at) for name in ("hazard_ratio", "lower", "upper")]),
        [hazard["estimate"], hazard["lower"], hazard["upper"]],
        atol=1e-6,
    )
    curve = {(row["arm"], row["time"] / 7): row["survival"] for row in record["kaplan_meier"]}
    for row in theirs["kaplan_meier"]:
        assert_allclose(curve[row["strata"].removeprefix("arm="), row["week"]], row["surv"], rtol=1e-12)


def test_rates_of_new_lesions(lesion_trial, plan, cell):
    table, _ = lesion_trial
    results, record = made(count_analysis, table, plan, CountPlan("new", "NEWLES"))
    seen = table[(table["PARAMCD"] == "NEWLES") & table["AVAL"].notna()]
    mine = seen[seen["TRT01P"] == "active"]
    years = mine.groupby("USUBJID")["ADY"].max().sum() / 365.25
    at = {"arm": "active"}
    assert cell(results, "counts.new", "events", **at) == mine["AVAL"].sum()
    assert_allclose(cell(results, "counts.new", "exposure_years", **at), years)
    assert_allclose(cell(results, "counts.new", "rate_per_year", **at), mine["AVAL"].sum() / years)
    assert record["model"].startswith("negative binomial")
    assert cell(results, "counts.new", "upper", arm="active", comparator="control") < 1
    assert_allclose(cell(results, "counts.new", "dispersion"), 1 / 2.15, rtol=0.2)
    zeros = sum(cell(results, "counts.new", "zeros_observed", arm=arm) for arm in ("control", "active"))
    assert record["findings"][1].startswith(f"{zeros:g} patients without a count")
    early, _ = made(count_analysis, table, plan, CountPlan("new", "NEWLES", "V2"))
    short = mine[mine["AVISIT"].isin(["V1", "V2"])]
    assert cell(early, "counts.new", "events", **at) == short["AVAL"].sum()
    expected = short.groupby("USUBJID")["ADY"].max().sum() / 365.25
    assert_allclose(cell(early, "counts.new", "exposure_years", **at), expected)


def test_a_plan_adds_its_analyses_to_the_comparison(lesion_trial, plan):
    table, _ = lesion_trial
    further = FurtherPlan((RESPONSE,), (CountPlan("new", "NEWLES"),), (PROGRESSION,))
    comparison = compare_arms(table, replace(plan, further=further))
    made = [model["analysis_id"] for model in comparison.models]
    assert made[-3:] == ["responders.small", "counts.new", "events.progression"]
    assert comparison.absent == ()
    document = json.loads(comparison.models_json())
    assert document["models"][-1]["definition"].startswith("progression: the first visit at which vol_ml is above its")
    again = compare_arms(table.sample(frac=1, random_state=3), replace(plan, further=further))
    assert again.models_json() == comparison.models_json()
    assert again.results.to_csv() == comparison.results.to_csv()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"quantity": "change_percent", "at_most": -30.0}, {"A": 1, "B": 1}),
        ({"quantity": "change", "at_most": -3.0}, {"A": 1, "B": 1}),
        ({"quantity": "value", "at_least": 10.0}, {"A": 2, "B": 1}),
        ({"quantity": "change_percent", "at_most": -30.0, "missing": "excluded"}, {"A": 1, "B": 1}),
    ],
)
def test_who_responds(settings, expected):
    table = long_table(
        {
            "P1": ("A", 10, 9, 7),
            "P2": ("A", 10, 9, 10),
            "P3": ("A", 12, 9, 12),
            "P4": ("B", 10, 9, 6),
            "P5": ("B", 11, 9, None),
            "P6": ("B", 10, 9, 12),
            "P7": ("B", None, 9, 5),
        }
    )
    named = ResponderPlan("r", "VOLML", "V2", transform="none", **settings)
    results, record = made(responder_analysis, table, SMALL, named)
    assert record["responders_by_arm"] == expected
    assert record["left_out"]["patients without a baseline value"] == "1 (P7)"
    sizes = {"A": 3, "B": 2 if settings.get("missing") else 3}
    assert record["patients_by_arm"] == sizes
    if settings.get("missing"):
        assert record["left_out"]["patients without a value at V2"] == "1 (P5)"
    else:
        assert record["without_a_value_counted_as_nonresponders"] == "1 (P5)"
    assert set(results.query("statistic == 'responder_percent'")["arm"]) == {"A", "B"}


def test_a_baseline_of_zero_has_no_percent_change():
    table = long_table({f"P{n}": ("AB"[n % 2], 0 if n == 5 else 10 + n, 9, 6 + n % 3) for n in range(8)})
    _, record = made(responder_analysis, table, SMALL, ResponderPlan("r", "VOLML", "V2", at_most=-40.0))
    assert record["left_out"] == {"patients with a baseline of zero, whose percent change is undefined": "1 (P5)"}


def test_odds_that_cannot_be_estimated_are_absent_with_the_reason():
    table = long_table({f"P{n}": ("AB"[n % 2], 10 + n, 9, 5 if n % 2 else 20) for n in range(8)})
    named = ResponderPlan("r", "VOLML", "V2", at_most=-20.0)
    comparison = compare_arms(table, replace(SMALL, further=FurtherPlan(responders=(named,))))
    assert "no maximum of the logistic likelihood" in dict(comparison.absent)["responders.r"]
    rows = comparison.results.query("analysis_id == 'responders.r' and statistic == 'not_estimable'")
    assert rows["arm"].tolist() == ["B"]
    assert comparison.models[-1]["comparisons"][0]["risk_difference"] == 1.0


COURSES = {  # baseline 10; above the baseline by 20 % at, above the nadir by 20 % at
    "P1": (("A", 10, 12, 11, 10), 28, 28),
    "P2": (("A", 10, 5, 6, 12), 84, 56),
    "P3": (("A", 10, 11, None, 13), 84, 84),
    "P4": (("B", 10, 8, 9, 9), None, None),
    "P5": (("B", 10, 8, None, None), None, None),
    "P6": (("B", 10, None, 12, 30), 56, 56),
    "P8": (("B", 10, 9, 9, 9), None, None),
}


@pytest.mark.parametrize(("above", "place"), [("baseline", 1), ("nadir", 2)])
def test_when_progression_is_seen(above, place, cell):
    table = long_table({who: course[0] for who, course in COURSES.items()} | {"P7": ("B", 10, None, None, None)})
    results, record = made(event_analysis, table, SMALL, EventPlan("p", "VOLML", above, 20.0))
    expected = {arm: sum(c[place] is not None for c in COURSES.values() if c[0][0] == arm) for arm in "AB"}
    assert record["events_by_arm"] == expected
    assert record["left_out"]["patients without a value after baseline"] == "1 (P7)"
    days = sorted(c[place] for c in COURSES.values() if c[place] is not None and c[0][0] == "A")
    assert [row["time"] for row in record["kaplan_meier"] if row["arm"] == "A"] == sorted(set(days))
    assert cell(results, "events.p", "median_days", arm="A") == days[1]
    unreached = results.query("arm == 'B' and statistic == 'median_days'")
    assert unreached["value"].isna().all()
    assert unreached["note"].tolist() == ["Kaplan–Meier: not reached"]


def test_a_least_rise_in_the_measures_own_unit(cell):
    table = long_table({who: course[0] for who, course in COURSES.items()})
    _, record = made(event_analysis, table, SMALL, EventPlan("p", "VOLML", "nadir", 20.0, 2.5))
    times = {(row["arm"], row["time"]) for row in record["kaplan_meier"]}
    assert times == {("A", 84.0), ("B", 84.0)}
    assert "by at least 20 % and by at least 2.5 in its own unit" in record["definition"]


def test_outcomes_from_a_hypothetical_event_on_are_not_used():
    table = long_table({who: course[0] for who, course in COURSES.items()}).assign(STOP=np.nan)
    table.loc[table["USUBJID"] == "P2", "STOP"] = 50.0
    event = IntercurrentEvent("stop", "hypothetical", "STOP")
    stopped = replace(SMALL, estimand=replace(SMALL.estimand, events=(event,)))
    _, record = made(event_analysis, table, stopped, EventPlan("p", "VOLML", "nadir", 20.0))
    assert record["events_by_arm"] == {"A": 2, "B": 1}
    assert record["left_out"]["records from a hypothetical intercurrent event on"].endswith("(P2)")


def test_progression_from_nothing_needs_a_rise():
    table = long_table({f"P{n}": ("AB"[n % 2], 0, 0, n // 2 % 2, 1) for n in range(8)})
    _, record = made(event_analysis, table, SMALL, EventPlan("p", "VOLML", "nadir", 20.0))
    assert sorted(row["time"] for row in record["kaplan_meier"]) == [56.0, 56.0, 84.0, 84.0]


def test_counts_run_from_the_baseline_and_skip_what_was_not_assessed(cell):
    courses = {f"P{n}": ("AB"[n % 2], None, n % 3, None, 1 + n % 2) for n in range(8)}
    courses["P0"] = ("A", None, 2, None, None)
    courses["P9"] = ("A", None, None, None, None)
    results, record = made(count_analysis, long_table(courses), SMALL, CountPlan("c", "VOLML"))
    assert record["left_out"]["patients without a count after baseline"] == "1 (P9)"
    assert_allclose(cell(results, "counts.c", "exposure_years", arm="A"), (28 + 3 * 84) / 365.25)
    assert cell(results, "counts.c", "events", arm="A") == 2 + sum(n % 3 + 1 for n in (2, 4, 6))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.assign(TRT01P="A"), "only one arm (A)"),
        (lambda t: t[t["AVISITN"] == 0], "arm A has 0 patient(s) who can be analysed"),
        (lambda t: t.assign(PARAMCD="OTHER"), "no rows in the analysis table"),
        (lambda t: t.assign(BASE=np.nan), "arm A has 0 patient(s) who can be analysed"),
    ],
)
def test_absent_analyses_say_why(change, reason):
    table = change(long_table({who: course[0] for who, course in COURSES.items()}))
    named = FurtherPlan(events=(EventPlan("p", "VOLML"),))
    assert reason in dict(compare_arms(table, replace(SMALL, further=named)).absent)["events.p"]


def test_covariates_of_both_kinds_are_adjusted_for(lesion_trial, plan):
    table, _ = lesion_trial
    _, record = made(responder_analysis, table, replace(plan, covariates=("sex", "age")), RESPONSE)
    assert record["adjusted_for"] == ["log1p(BASE)", "SEX[T.M]", "AGE"]
    twice = table.assign(AGE=table["BASE_LOG"])
    with pytest.raises(StatisticsError, match="AGE, BASE_LOG repeat the arms or each other"):
        made(responder_analysis, twice, replace(plan, covariates=("age", "base_log")), RESPONSE)


def test_a_response_has_one_bound():
    with pytest.raises(StatisticsError, match="either at_most or at_least"):
        ResponderPlan("r", "VOLML", "V2")
