"""Sensitivity analyses of a comparison: what the plan asks for, against imputation called by itself."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from trialscan.errors import StatisticsError
from trialscan.statistics import (
    AnalysisPlan,
    EndpointPlan,
    Estimand,
    IntercurrentEvent,
    MissingDataPlan,
    TippingPlan,
    compare_arms,
)
from trialscan.statistics.imputation import reference_based

PLAN = AnalysisPlan(
    (EndpointPlan("BURDENML", primary=True),),
    model="mmrm",
    missing_data=MissingDataPlan(("MAR", "JR"), tipping=TippingPlan((-1.0, 3.0), 8)),
)
LEAVES = {"P01": 2, "P03": 3, "P04": 2, "P07": 3, "P09": 1, "P12": 3}


@pytest.fixture
def left(analysis) -> pd.DataFrame:
    """The trial without what follows a patient's drop-out; P09 leaves before any follow-up."""
    leaves = analysis["USUBJID"].map(LEAVES)
    return analysis[~(analysis["AVISITN"] >= leaves)].reset_index(drop=True)


def records(comparison) -> dict[str, dict]:
    return {model["analysis_id"]: model for model in comparison.models}


def by_itself(left: pd.DataFrame, **settings):
    """reference_based on a grid made by hand."""
    patients = left.drop_duplicates("USUBJID")[["USUBJID", "TRT01P", "BASE"]]
    grid = patients.merge(pd.DataFrame({"AVISIT": ["V1", "V2", "V3"]}), how="cross")
    grid = grid.merge(left[["USUBJID", "AVISIT", "AVAL"]], how="left")
    grid["change"], grid["base"] = np.log1p(grid["AVAL"]) - np.log1p(grid["BASE"]), np.log1p(grid["BASE"])
    grid["event"] = grid["USUBJID"].map({who: f"V{number}" for who, number in LEAVES.items()})
    return reference_based(
        grid,
        "change ~ TRT01P * AVISIT + base * AVISIT",
        patient="USUBJID",
        visit="AVISIT",
        arm="TRT01P",
        reference="a",
        first_affected="event",
        covariates=["base"],
        **settings,
    )


@pytest.fixture
def comparison(left):
    return compare_arms(left, PLAN)


def test_strategies_are_imputation_of_the_full_grid(left, comparison):
    assert comparison.absent == ()
    direct = by_itself(left, strategies=["MAR", "JR"])
    cells = comparison.results.set_index(["analysis_id", "visit", "arm", "comparator", "statistic"])["value"]
    for strategy in ("MAR", "JR"):
        for visit in ("V1", "V2", "V3"):
            expected = direct.differences.loc[(strategy, "b", visit)]
            at = (f"primary.reference_based.{strategy}", visit, "b", "a")
            names = ["adjusted_mean_difference", "se", "z", "p", "lower", "upper"]
            assert_allclose([cells[(*at, name)] for name in names], expected, rtol=1e-9)
            assert_allclose(cells[(*at, "percent_difference")], 100 * np.expm1(expected["estimate"]), rtol=1e-9)
            mean = direct.adjusted_means.loc[(strategy, "a", visit), "estimate"]
            assert_allclose(cells[at[0], visit, "a", "", "adjusted_mean_change"], mean, rtol=1e-9)
    assert cells["primary.reference_based.JR", "V3", "b", "", "n"] == 12
    assert cells["primary.reference_based.JR", "V3", "b", "", "n_imputed"] == 4
    assert cells.index.is_unique


def test_records_say_how_they_were_made(comparison):
    record = records(comparison)["primary.reference_based.JR"]
    assert record["meaning"] == "after an event the mean jumps to that of the reference arm"
    assert record["patients_by_arm"] == {"a": 12, "b": 12}
    assert record["imputation_model"].startswith("MMRM by REML: change ~ TRT01P * AVISIT + baseline * AVISIT")
    assert {"arm": "b", "visit": "V3", "n": 4} in record["imputed"]
    assert records(comparison)["primary.estimand"]["sensitivity_analyses"] == [
        "primary.reference_based.MAR",
        "primary.reference_based.JR",
        "primary.tipping_point",
    ]
    json.loads(comparison.models_json())


def test_the_tipping_record_is_the_tables_and_states_its_scale(comparison):
    record = records(comparison)["primary.tipping_point"]
    assert (record["kind"], record["visit"], record["range"]) == ("tipping_point", "V3", "as planned")
    assert "change from baseline of log(Burden + 1 ml)" in record["scale"]
    (found,) = record["comparisons"]
    assert (found["arm"], found["comparator"], found["n_shifted"]) == ("b", "a", 4)
    assert [row["delta"] for row in found["grid"]] == list(np.linspace(-1, 3, 9))
    assert {"delta", "estimate", "se", "p", "lower", "upper"} <= set(found["grid"][0])
    rows = comparison.results.query("analysis_id == 'primary.tipping_point'").set_index("statistic")
    at_zero = next(row for row in found["grid"] if row["delta"] == 0)
    assert rows.loc["p[delta=0]", "value"] == at_zero["p"]
    mar = comparison.results.query(
        "analysis_id == 'primary.reference_based.MAR' and visit == 'V3' and comparator == 'a'"
    )
    assert_allclose(at_zero["p"], mar.set_index("statistic").loc["p", "value"])
    assert found["tipping_delta"] is not None
    assert rows.loc["tipping_delta", "value"] == found["tipping_delta"]
    assert found["note"] in rows.loc["tipping_delta", "note"]


def test_the_default_range_is_two_standard_deviations(left):
    plan = replace(PLAN, missing_data=MissingDataPlan(tipping=TippingPlan(steps=4, strategy="CR")))
    comparison = compare_arms(left, plan)
    record = records(comparison)["primary.tipping_point"]
    last = left[left["AVISIT"] == "V3"]
    change = np.log1p(last["AVAL"]) - np.log1p(last["BASE"])
    groups = change.groupby(last["TRT01P"])
    sd = np.sqrt((groups.var() * (groups.size() - 1)).sum() / (groups.size() - 1).sum())
    assert_allclose([row["delta"] for row in record["comparisons"][0]["grid"]], np.array([-2, -1, 0, 1, 2]) * sd)
    assert record["pooled_sd"] == pytest.approx(sd)
    assert not [name for name in records(comparison) if "reference_based" in name]


def test_rubin_gives_the_same_bytes_whatever_the_order_of_rows(left):
    missing = MissingDataPlan(("JR",), "rubin", 10, 3)
    plan = replace(PLAN, missing_data=missing)
    first, second = (compare_arms(each, plan) for each in (left, left.sample(frac=1, random_state=1)))
    assert first.results.to_csv() == second.results.to_csv()
    assert first.models_json() == second.models_json()
    rows = first.results.query("analysis_id == 'primary.reference_based.JR' and comparator == 'a'")
    assert {"df", "t"} <= set(rows["statistic"])
    assert "Rubin's rules" in rows["note"].iloc[0]


def test_events_with_a_day_are_imputed_by_strategy(analysis, left):
    """A hypothetical event leaves what drop-out at it leaves; under treatment policy nothing here is missing."""
    stop = {who: 28.0 * number - 14 for who, number in LEAVES.items()}
    marked = analysis.assign(STOP=analysis["USUBJID"].map(stop))
    given_up, kept = (
        compare_arms(marked, replace(PLAN, estimand=Estimand(events=(IntercurrentEvent("stop", each, "STOP"),))))
        for each in ("hypothetical", "treatment_policy")
    )
    of = "analysis_id == 'primary.reference_based.JR'"
    dropped = compare_arms(left, PLAN)
    assert_allclose(given_up.results.query(of)["value"], dropped.results.query(of)["value"], rtol=1e-9)
    assert not kept.results.query("statistic == 'n_imputed'")["value"].any()
    assert "no outcome at V3 is imputed" in records(kept)["primary.tipping_point"]["comparisons"][0]["note"]


def test_covariates_and_who_is_left_out(left):
    site = left["USUBJID"].map({"P09": "S9"}).fillna("S1").where(left["USUBJID"] != "P05", "S2")
    site = site.where(~left["USUBJID"].isin(["P06", "P10", "P11"]), "S2")
    age = left["USUBJID"].str[1:].astype(float).where(left["USUBJID"] != "P02")
    plan = replace(PLAN, covariates=("site", "age"), missing_data=MissingDataPlan(("JR",)))
    record = records(compare_arms(left.assign(SITE=site, AGE=age), plan))["primary.reference_based.JR"]
    assert record["covariates"] == ["SITE", "AGE"]
    assert record["left_out"] == {
        "patients without AGE": "1 (P02)",
        "patients whose SITE nobody with an outcome has": "1 (P09)",
    }
    assert record["patients_by_arm"] == {"a": 11, "b": 11}


def test_what_the_data_do_not_allow_is_absent_with_its_reason(left):
    comparison = compare_arms(left[left["AVISITN"] < 2], PLAN)
    absent = dict(comparison.absent)
    for name in ("primary.reference_based.MAR", "primary.reference_based.JR", "primary.tipping_point"):
        assert "1 visit(s) after baseline; expected two or more for imputation" in absent[name]
    assert set(comparison.results.query("analysis_id == 'primary.tipping_point'")["statistic"]) == {"not_estimable"}


def test_a_third_arm_that_is_too_small_is_told(left):
    arms = left["TRT01P"].where(~left["USUBJID"].isin(["P00", "P02"]), "c")
    comparison = compare_arms(left.assign(TRT01P=arms), PLAN)
    assert "arm c has 2 patient(s)" in dict(comparison.absent)["primary.reference_based.MAR"]


def test_an_unknown_strategy_is_refused():
    with pytest.raises(StatisticsError, match="plan: missing data: strategy J2R"):
        MissingDataPlan(("J2R",))
