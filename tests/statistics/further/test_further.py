"""Responders, counts, times to an event and multiplicity: against R, closed forms, and faults by name."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from trialscan.errors import StatisticsError
from trialscan.statistics.further import (
    adjust_p,
    analyse_counts,
    analyse_events,
    analyse_responders,
    fixed_sequence,
    gatekeep,
)

KEYS = {"patient": "id", "arm": "arm", "reference": "control"}


@pytest.fixture(scope="module")
def reference(real_data):
    folder = real_data / "statistics"
    return pd.read_csv(folder / "lesion_trial.csv"), json.loads((folder / "lesion_other.json").read_text())


def coefficients(rows: list[dict], *names: str) -> np.ndarray:
    found = {row["name"]: [row[key] for key in ("estimate", "se", "p", "lower", "upper")] for row in rows}
    return np.array([found[name] for name in names])


def test_responders_are_rs(reference):
    trial, theirs = reference
    last = trial[trial["visit"] == "V5"]
    table = last.assign(response=(last["vol_ml"] <= 1.05 * last["base_vol"]).astype(int))
    ours = analyse_responders(table, response="response", covariates=["base_log"], **KEYS)
    assert ours.counts.to_numpy().tolist() == [[21, 100], [36, 100]]
    expected = coefficients(theirs["responder"]["logistic"], "(Intercept)", "armactive", "base_log")
    assert_allclose(ours.coefficients[["estimate", "se", "p", "lower", "upper"]], expected, rtol=1e-6)
    row = ours.comparisons.loc["active"]
    assert_allclose(
        row[["odds_ratio", "odds_ratio_lower", "odds_ratio_upper"]].to_numpy(float),
        theirs["responder"]["odds_ratio"],
        rtol=1e-6,
    )
    difference = theirs["responder"]["risk_difference"]
    assert_allclose(row["risk_difference"], difference["estimate"], rtol=1e-12)
    limits = row[["risk_difference_lower", "risk_difference_upper"]].to_numpy(float)
    assert_allclose(limits, difference["newcombe_95"], rtol=1e-9)
    assert_allclose(row["fisher_p"], theirs["responder"]["fisher_p"], rtol=1e-9)


def test_a_separated_response_has_no_odds_ratio_and_says_so():
    table = pd.DataFrame({"id": [f"P{n}" for n in range(12)], "arm": ["a", "b"] * 6, "response": [0, 1] * 6})
    ours = analyse_responders(table, patient="id", arm="arm", response="response")
    assert ours.coefficients is None
    assert "no maximum of the logistic likelihood" in ours.absent
    assert ours.comparisons.loc["b", "risk_difference"] == 1.0
    assert "odds_ratio" not in ours.comparisons


def test_times_to_progression_are_rs(reference, real_data):
    _, other = reference
    theirs = other["time_to_progression"]
    data = pd.read_csv(real_data / "statistics" / "lesion_tte.csv")
    plain = analyse_events(data, time="week", event="event", **KEYS)
    assert_allclose(plain.logrank, [theirs["logrank_chisq"], 1, theirs["logrank_p"]], rtol=1e-8)
    shown = ["estimate", "se", "p", "lower", "upper"]
    assert_allclose(plain.coefficients[shown], coefficients(theirs["cox_efron"], "armactive"), rtol=1e-5)
    adjusted = analyse_events(data, time="week", event="event", covariates=["base_log"], **KEYS)
    expected = coefficients(theirs["cox_efron_adjusted"], "armactive", "base_log")
    assert_allclose(adjusted.coefficients[shown], expected, rtol=1e-5)
    assert_allclose(np.log(plain.hazard_ratios["estimate"]), plain.coefficients["estimate"])
    for row in theirs["kaplan_meier"]:
        ours = plain.kaplan_meier.loc[(row["strata"].removeprefix("arm="), row["week"])]
        assert (ours["at_risk"], ours["events"]) == (row["n_risk"], row["n_event"])
        assert_allclose(ours[["survival", "lower", "upper"]], [row["surv"], row["lower"], row["upper"]], rtol=1e-6)
    assert plain.medians["median"].to_dict() == {"control": 36.0, "active": 48.0}


def test_new_lesions_are_rs(reference):
    trial, other = reference
    theirs = other["new_lesions"]["glm_nb"]
    seen = trial[trial["vol_ml"].notna()]
    table = seen.groupby("id").agg(
        arm=("arm", "first"), base_log=("base_log", "first"), new=("new_lesions", "sum"), years=("years", "sum")
    )
    ours = analyse_counts(table.reset_index(), count="new", exposure="years", covariates=["base_log"], **KEYS)
    assert ours.model == "negative binomial"
    expected = coefficients(theirs["coefficients"], "(Intercept)", "armactive", "base_log")
    assert_allclose(ours.coefficients["estimate"], expected[:, 0], rtol=1e-4)
    assert_allclose(ours.coefficients["se"], expected[:, 1], rtol=2e-2)  # glm.nb takes the dispersion as known
    assert_allclose(1 / ours.dispersion, theirs["theta"], rtol=1e-4)
    assert_allclose(ours.minus2loglik, -2 * theirs["loglik"], rtol=1e-7)
    assert_allclose(ours.rate_ratios.loc["active", "estimate"], theirs["rate_ratio"][0], rtol=1e-4)
    assert ours.overdispersion_p < 0.01
    assert ours.zero_inflation_p > 0.05
    assert ours.zeros["observed"].sum() == (table["new"] == 0).sum()
    assert "negative binomial" in ours.on_dispersion
    assert "as many as the model expects" in ours.on_zeros


def test_counts_without_dispersion_are_poisson_with_the_closed_form_rate_ratio():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"id": [f"P{n:03d}" for n in range(200)], "arm": ["a", "b"] * 100})
    table["time"] = rng.uniform(0.5, 2, 200)
    table["count"] = rng.poisson(table["time"] * np.where(table["arm"] == "a", 2.0, 1.0))
    ours = analyse_counts(table, patient="id", arm="arm", count="count", exposure="time")
    assert ours.model == "Poisson"
    sums = table.groupby("arm")[["count", "time"]].sum()
    rates = sums["count"] / sums["time"]
    assert_allclose(ours.rate_ratios.loc["b", "estimate"], rates["b"] / rates["a"], rtol=1e-6)
    assert_allclose(ours.coefficients.loc["arm[T.b]", "se"], np.sqrt((1 / sums["count"]).sum()), rtol=1e-5)
    assert "the model is Poisson" in ours.on_dispersion
    inflated = table.assign(count=(table["count"] + 6).where(np.arange(200) % 3 > 0, 0))
    found = analyse_counts(inflated, patient="id", arm="arm", count="count", exposure="time")
    assert found.zero_inflation_p < 0.001
    assert "zero inflation" in found.on_zeros


def test_adjusted_p_values_are_rs(reference):
    _, other = reference
    theirs = other["p_adjust"]
    p = {f"H{index}": value for index, value in enumerate(theirs["p"])}
    for method in ("bonferroni", "holm", "hochberg", "hommel"):
        assert_allclose(list(adjust_p(p, method).values()), theirs[method], rtol=1e-12)


def test_orders_of_testing():
    assert fixed_sequence({"a": 0.01, "b": 0.2, "c": 0.001}) == {"a": 0.01, "b": 0.2, "c": 0.2}
    assert adjust_p({"a": 0.01, "b": 0.2}, "fixed-sequence") == {"a": 0.01, "b": 0.2}
    gated = gatekeep([{"primary": 0.03}, {"second": 0.001, "third": 0.02}])
    assert gated == {"primary": 0.03, "second": 0.03, "third": 0.03}
    assert gatekeep([{"primary": 0.3}, {"second": 0.001}])["second"] == 0.3
    assert adjust_p({}, "holm") == {}
    with pytest.raises(StatisticsError, match="more than one"):
        gatekeep([{"a": 0.1}, {"a": 0.1}])
    with pytest.raises(StatisticsError, match="p value of 'a'"):
        adjust_p({"a": 1.2}, "holm")
    with pytest.raises(StatisticsError, match="one of bonferroni"):
        adjust_p({"a": 0.2}, "tukey")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: pd.concat([t, t.iloc[[0]]]), "more than one row for patient P0"),
        (lambda t: t.assign(arm="a"), "at least one other"),
        (lambda t: t.assign(arm=t["arm"].where(t["id"] != "P3")), "no arm for patient P3"),
        (lambda t: t.assign(response=t["response"].where(t["id"] != "P4", np.nan)), "no finite value for patient P4"),
        (lambda t: t.assign(response=2), "value 2; expected 0 or 1"),
        (lambda t: t.drop(columns="response"), "no column named 'response'"),
    ],
)
def test_faults_are_named(change, words):
    table = pd.DataFrame({"id": [f"P{n}" for n in range(8)], "arm": ["a", "b"] * 4, "response": [0, 1, 1, 0] * 2})
    with pytest.raises(StatisticsError, match=words):
        analyse_responders(change(table), patient="id", arm="arm", response="response")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("count", -1, "patient P2 has -1"), ("time", 0, "patient P2 has 0"), ("count", 0.5, "whole numbers")],
)
def test_impossible_counts_are_named(column, value, words):
    table = pd.DataFrame({"id": [f"P{n}" for n in range(8)], "arm": ["a", "b"] * 4, "count": 1.0, "time": 1.0})
    table.loc[2, column] = value
    with pytest.raises(StatisticsError, match=words):
        analyse_counts(table, patient="id", arm="arm", count="count", exposure="time")
    with pytest.raises(StatisticsError, match="no event in any patient"):
        analyse_counts(table.assign(count=0, time=1), patient="id", arm="arm", count="count", exposure="time")
