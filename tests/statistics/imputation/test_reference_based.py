"""Reference-based imputation against R's rbmi, closed forms and what it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from trialscan.errors import StatisticsError
from trialscan.statistics.imputation import STRATEGIES, reference_based
from trialscan.statistics.imputation.conditional import impute
from trialscan.statistics.imputation.strategies import Marginal, course


@pytest.fixture(scope="module")
def rbmi(real_data):
    folder = real_data / "statistics"
    data = pd.read_csv(folder / "lesion_trial.csv")
    data["event"] = data["ice_week"].map(dict(zip(data["week"], data["visit"], strict=True)))
    ours = reference_based(
        data,
        "chg_log ~ base_log * visit + arm * visit",
        covariates=["base_log"],
        patient="id",
        visit="visit",
        arm="arm",
        reference="control",
        first_affected="event",
    )
    theirs = {each["strategy"]: each for each in json.loads((folder / "lesion_rbmi.json").read_text())["results"]}
    return ours, theirs


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_estimates_and_jackknife_errors_are_rbmis(rbmi, strategy):
    ours, theirs = rbmi
    for row in theirs[strategy]["pooled"]:
        kind, visit = row["parameter"].rsplit("_", 1)
        found = {
            "trt": lambda at: ours.differences.loc[(strategy, "active", at)],
            "lsm_ref": lambda at: ours.adjusted_means.loc[(strategy, "control", at)],
            "lsm_alt": lambda at: ours.adjusted_means.loc[(strategy, "active", at)],
        }[kind](visit)
        assert_allclose(found["estimate"], row["est"], rtol=1e-5, atol=1e-5 * row["se"])
        assert_allclose(found["se"], row["se"], rtol=1e-4)
        assert_allclose([found["lower"], found["upper"]], [row["lci"], row["uci"]], atol=1e-4 * row["se"])
        assert_allclose(found["p"], row["pval"], rtol=1e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_imputed_values_are_rbmis(rbmi, strategy):
    ours, theirs = rbmi
    for row in theirs[strategy]["first_imputed_missing"]:
        assert ours.imputed.loc[(row["id"], row["visit"]), strategy] == pytest.approx(row["imputed"], abs=5e-5)


def test_courses_after_an_event():
    own, reference = np.array([[1.0, 2.0, 4.0, 8.0]]), np.array([[0.0, 1.0, 1.5, 1.75]])
    after = np.array([[False, False, True, True]])
    of = Marginal(own, reference, after)
    assert course("MAR", of).tolist() == [[1, 2, 4, 8]]
    assert course("JR", of).tolist() == [[1, 2, 1.5, 1.75]]
    assert course("CIR", of).tolist() == [[1, 2, 2.5, 2.75]]
    assert course("CR", of).tolist() == [[0, 1, 1.5, 1.75]]
    assert course("LMCF", of).tolist() == [[1, 2, 2, 2]]
    from_the_start = Marginal(own, reference, np.ones((1, 4), dtype=bool))
    assert course("CIR", from_the_start).tolist() == reference.tolist()
    assert course("LMCF", from_the_start).tolist() == own.tolist()
    without = Marginal(own, reference, np.zeros((1, 4), dtype=bool))
    assert all(course(name, without).tolist() == own.tolist() for name in STRATEGIES)


def test_a_missing_value_becomes_its_regression_on_the_others():
    S = np.array([[2.0, 1.0], [1.0, 3.0]])
    y = np.array([[5.0, np.nan], [np.nan, np.nan], [1.0, 2.0]])
    means = np.array([[4.0, 7.0], [4.0, 7.0], [0.0, 0.0]])
    assert_allclose(impute(y, means, S), [[5.0, 7.5], [4.0, 7.0], [1.0, 2.0]])


def test_nothing_missing_is_the_analysis_of_covariance(trial, analyse):
    table = trial()
    filled = table.assign(y=np.arange(len(table)) % 7 + table["base"], event=None)
    result = analyse(filled)
    for strategy in STRATEGIES:
        assert_allclose(result.differences.loc[strategy], result.differences.loc["MAR"])
    rows = filled[filled["visit"] == "V3"]
    X = np.column_stack([np.ones(len(rows)), rows["arm"] == "act", rows["base"]]).astype(float)
    expected = np.linalg.lstsq(X, rows["y"], rcond=None)[0][1]
    assert_allclose(result.differences.loc[("JR", "act", "V3"), "estimate"], expected, rtol=1e-9)
    assert result.imputed.empty


def test_row_order_changes_nothing_and_the_reference_arm_is_left_alone(trial, analyse):
    table = trial()
    first, second = analyse(table), analyse(table.sample(frac=1, random_state=4))
    pd.testing.assert_frame_equal(first.differences, second.differences, rtol=1e-12)
    arm = dict(zip(table["id"], table["arm"], strict=True))
    controls = first.imputed[[arm[who] == "ctl" for who in first.imputed.index.get_level_values("patient")]]
    assert_allclose(controls["JR"], controls["MAR"], rtol=1e-9)
    assert not np.allclose(first.imputed["JR"], first.imputed["MAR"])


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        (lambda t: t.drop(index=4), {}, "patient P01 without exactly one row for each of 3 visits"),
        (lambda t: t.assign(event="V9"), {}, "column 'event': unknown visit V9"),
        (lambda t: t, {"reference": "placebo"}, "'placebo' and another arm"),
        (lambda t: t, {"strategies": ["J2R"]}, "strategy J2R: not known"),
        (lambda t: t.assign(base=t["base"].where(t["id"] != "P03")), {}, "column 'base'"),
        (lambda t: t.drop(columns="event"), {}, "no column named 'event'"),
        (lambda t: t, {"strategies": []}, "strategies: none"),
        (lambda t: t, {"method": "bayes"}, "method: 'bayes'"),
        (lambda t: t, {"method": "rubin", "imputations": 1}, "imputations: 1; expected two or more"),
    ],
)
def test_faults_are_named(trial, analyse, change, settings, words):
    with pytest.raises(StatisticsError, match=words):
        analyse(change(trial()), **settings)


def test_outcomes_after_an_event_are_kept_and_leave_the_imputation_model(trial, analyse):
    """Under treatment policy an observed outcome counts; only MAR's model learns from it."""
    table = trial()
    leavers = list(table.loc[table["event"] == "V2", "id"].unique())[:3]
    late = table["id"].isin(leavers) & (table["visit"] == "V3")
    with_late = table.assign(y=table["y"].where(~late, 9.0))
    kept, without = (analyse(each, strategies=["MAR", "JR"]) for each in (with_late, table))
    assert len(kept.imputed) == len(without.imputed) - late.sum()
    assert not any((who, "V3") in kept.imputed.index for who in table["id"][late])
    others = [key for key in kept.imputed.index if key[0] not in set(table["id"][late])]
    assert_allclose(kept.imputed.loc[others, "JR"], without.imputed.loc[others, "JR"], rtol=1e-9)
    assert not np.allclose(kept.imputed.loc[others, "MAR"], without.imputed.loc[others, "MAR"])
    assert (kept.n_refits, without.n_refits) == (72, 36)


def test_the_first_covariance_that_can_be_fitted_is_taken(trial, analyse):
    table = trial()
    full = table.assign(y=table["base"] + np.random.default_rng(2).normal(size=len(table)), event=None)
    skipped = np.where(full["id"].str[1:].astype(int) % 4 < 2, "V2", "V3")
    never_together = full[["id", "arm", "base", "visit", "event"]].assign(y=full["y"].where(full["visit"] != skipped))
    result = analyse(never_together, strategies=["MAR"], covariance=["us", "cs"])
    assert result.covariance == "cs"
    assert "V2 and V3" in result.fallback[0]
    with pytest.raises(StatisticsError, match="V2 and V3"):
        analyse(never_together, strategies=["MAR"])


def test_covariates_may_be_names(trial, analyse):
    table = trial()
    sex = table["id"].str[1:].astype(int).map(lambda number: "FM"[number % 3 == 0])
    site = table["id"].str[1:].astype(int).map(lambda number: f"{number % 3 == 0:d}")
    by_name, by_number = (
        analyse(table.assign(x=x), strategies=["MAR"], covariates=["base", "x"]).differences for x in (sex, site)
    )
    pd.testing.assert_frame_equal(by_name, by_number, rtol=1e-9)
    with pytest.raises(StatisticsError, match="column 'x': missing for 1 patient"):
        analyse(table.assign(x=sex.where(table["id"] != "P03")), strategies=["MAR"], covariates=["x"])
