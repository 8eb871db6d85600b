"""Scaled residuals: against R's nlme, closed forms, and what they are by construction."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from trialscan.errors import StatisticsError
from trialscan.statistics import (
    AnalysisPlan,
    EndpointPlan,
    compare_arms,
    fit_mmrm,
    fit_random_slope,
    scaled_residuals,
)
from trialscan.statistics.residuals import RESIDUAL_COLUMNS, residual_rows

# nlme 3.1.162: residuals(gls(distance ~ Sex * factor(age), corSymm, varIdent by age), type = "normalized"), and for
# lme(distance ~ Sex * age, random = ~ age | Subject) L^-1 (y − fitted(level = 0)) with V from getVarCov and sigma.
NLME = {
    "us": {
        "M01": (1.342865363503, -0.226361904308, 0.635584319306, 1.353713061030),
        "M13": (-2.524586883386, 2.163839689833, 1.804815195650, 0.759097804673),
        "F11": (1.425878858701, 0.659631891573, 1.174411614657, 0.403119088573),
    },
    "slope": {
        "M01": (1.521137563636, -0.792233457556, 1.055207919873, 0.918893594823),
        "M13": (-2.52399279950, 2.29023060887, 1.23191331048, 1.74936505715),
        "F11": (1.479128476216, 0.421493456012, 1.512788937195, 0.283328244381),
    },
}


def irregular(trial: pd.DataFrame) -> pd.DataFrame:
    return trial.sample(frac=0.8, random_state=4)


@pytest.mark.parametrize("model", ["us", "slope"])
def test_they_are_nlmes(real_data, model):
    table = pd.read_csv(real_data / "statistics" / "orthodont.csv").assign(occasion=lambda d: d["age"].astype(str))
    result = (
        fit_random_slope(table, "distance ~ Sex * age", patient="Subject", time="age")
        if model == "slope"
        else fit_mmrm(table, "distance ~ Sex * occasion", patient="Subject", visit="occasion", covariance="us")
    )
    found = scaled_residuals(result).groupby("patient")["scaled_residual"].agg(tuple)
    for patient, expected in NLME[model].items():
        assert_allclose(found[patient], expected, atol=2e-5)


def test_two_visits_have_a_closed_form(trial):
    two = trial[trial["number"] < 2]
    result = fit_mmrm(two, "y ~ arm * visit", patient="id", visit="visit", covariance="us")
    s1, s2 = np.sqrt(np.diag(result.covariance.matrix))
    rho = result.covariance.matrix[0, 1] / (s1 * s2)
    found = scaled_residuals(result)
    first, second = (found[found["visit"] == visit].set_index("patient") for visit in ("V0", "V1"))
    means = two.groupby(["arm", "visit"])["y"].transform("mean")
    assert_allclose(found["residual"], (two["y"] - means)[two.sort_values(["id", "number"]).index], atol=1e-10)
    assert_allclose(first["scaled_residual"], first["residual"] / s1, rtol=1e-12)
    expected = (second["residual"] / s2 - rho * first["residual"] / s1) / np.sqrt(1 - rho**2)
    assert_allclose(second["scaled_residual"], expected, rtol=1e-10)


@pytest.mark.parametrize("settings", [{"covariance": "us"}, {"covariance": "ar1h", "group": "arm"}, {"weights": "w"}])
def test_their_squares_add_up_to_the_residual_degrees_of_freedom(trial, settings):
    """r'V^-1 r = N − p where REML is stationary in the scale of V."""
    table = irregular(trial).assign(w=lambda d: 1 + d["number"])
    result = fit_mmrm(table, "y ~ arm * visit", patient="id", visit="visit", **settings)
    assert np.sum(scaled_residuals(result)["scaled_residual"] ** 2) == pytest.approx(len(table) - 8, rel=1e-8)


@pytest.mark.parametrize("reml", [True, False])
def test_so_do_those_of_random_slopes(trial, reml):
    table = irregular(trial)
    result = fit_random_slope(table, "y ~ arm * day", patient="id", time="day", reml=reml)
    found = scaled_residuals(result)
    assert np.sum(found["scaled_residual"] ** 2) == pytest.approx(len(table) - 4 * reml, rel=1e-8)
    own = table[table["id"] == "P03"].sort_values("day")
    Z = np.column_stack([np.ones(len(own)), own["day"]])
    V = Z @ result.covariance.G @ Z.T + result.covariance.sigma2 * np.eye(len(own))
    mine = found[found["patient"] == "P03"]
    assert_allclose(mine["time"], own["day"])
    assert_allclose(np.linalg.cholesky(V) @ mine["scaled_residual"], mine["residual"], rtol=1e-10)


def test_they_are_uncorrelated_with_variance_one():
    rng = np.random.default_rng(2)
    S = 4.0 * 0.7 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4))) * np.outer([1, 2, 1, 3], [1, 2, 1, 3])
    y = rng.multivariate_normal(np.zeros(4), S, size=600)
    table = pd.DataFrame(
        {"id": np.repeat(np.arange(600), 4).astype(str), "visit": np.tile(np.arange(1, 5), 600), "y": y.ravel()}
    )
    table = table.assign(arm=np.where(table["id"].astype(int) % 2, "a", "b"))
    result = fit_mmrm(table, "y ~ arm", patient="id", visit="visit", covariance="ar1h")
    wide = scaled_residuals(result).pivot(index="patient", columns="visit", values="scaled_residual")
    assert_allclose(np.cov(wide.to_numpy().T), np.eye(4), atol=4 / np.sqrt(600))
    assert stats.kstest(wide.to_numpy().ravel(), "norm").pvalue > 0.01


def test_the_order_of_rows_does_not_matter(trial):
    formula = {"formula": "y ~ arm * visit", "patient": "id", "visit": "visit"}
    first = scaled_residuals(fit_mmrm(trial, **formula))
    second = scaled_residuals(fit_mmrm(trial.sample(frac=1, random_state=1), **formula))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_covariance_without_an_inverse_names_the_patient(trial):
    result = fit_mmrm(trial, "y ~ arm * visit", patient="id", visit="visit", covariance="us")
    broken = {"all": np.ones((4, 4)) - 1e-3 * np.eye(4)}
    object.__setattr__(result.covariance, "matrices", broken)
    with pytest.raises(StatisticsError, match="patient P00: a covariance that is not positive definite"):
        scaled_residuals(result)


@pytest.mark.parametrize("model", ["mmrm", "random_slope"])
def test_the_comparison_keeps_them_with_arm_visit_and_day(analysis, model):
    plan = AnalysisPlan((EndpointPlan("BURDENML", primary=True),), model=model)
    comparison = compare_arms(analysis, plan)
    kept = comparison.residuals[comparison.residuals["analysis_id"] == f"primary.{model}"]
    assert tuple(comparison.residuals.columns) == RESIDUAL_COLUMNS
    assert len(kept) == (len(analysis) if model == "random_slope" else (analysis["ABLFL"] != "Y").sum())
    keys = ["USUBJID", "AVISIT"]
    known = analysis.set_index(keys).loc[list(zip(kept["patient_id"], kept["visit"], strict=True))]
    assert list(kept["arm"]) == list(known["TRT01P"])
    assert_allclose(kept["study_day"], known["ADY"])
    value = np.log1p(known["AVAL"]) - (0.0 if model == "random_slope" else np.log1p(known["BASE"]))
    assert_allclose(kept["fitted"] + kept["residual"], value, rtol=1e-12)


def test_normal_quantiles_are_bloms(analysis, trial):
    result = fit_random_slope(trial, "y ~ arm * day", patient="id", time="day")
    rows = residual_rows(result, analysis, "primary.random_slope", "BURDENML").sort_values("scaled_residual")
    n = len(rows)
    assert_allclose(rows["normal_quantile"], stats.norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25)), rtol=1e-12)


def test_nothing_fitted_leaves_an_empty_table(analysis):
    comparison = compare_arms(
        analysis.assign(TRT01P="a"), AnalysisPlan((EndpointPlan("BURDENML", primary=True),), model="mmrm")
    )
    assert tuple(comparison.residuals.columns) == RESIDUAL_COLUMNS
    assert comparison.residuals.empty


def test_spread_is_the_covariance_in_other_words(analysis):
    models = json.loads(
        compare_arms(analysis, AnalysisPlan((EndpointPlan("BURDENML", primary=True),), model="mmrm")).models_json()
    )["models"]
    of = {model["analysis_id"]: model for model in models}
    slope, mmrm = of["primary.random_slope"], of["primary.mmrm"]
    spread = mmrm["covariance"]["spread"]["all"]
    sd = np.array(spread["standard_deviations"])
    assert_allclose(np.outer(sd, sd) * spread["correlations"], mmrm["covariance"]["matrices"]["all"], rtol=1e-12)
    implied = slope["implied_covariance"]
    G, days = np.array(slope["covariance"]["G"]), np.array(implied["study_days"])
    assert implied["visits"] == ["V0", "V1", "V2", "V3"]
    variance = G[0, 0] + 2 * days * G[0, 1] + days**2 * G[1, 1] + slope["covariance"]["sigma2"]
    assert_allclose(np.array(implied["standard_deviations"]) ** 2, variance, rtol=1e-12)
    between = G[0, 0] + G[0, 1] * (days[0] + days[3]) + G[1, 1] * days[0] * days[3]
    assert implied["correlations"][0][3] == pytest.approx(between / np.sqrt(variance[0] * variance[3]), rel=1e-10)
