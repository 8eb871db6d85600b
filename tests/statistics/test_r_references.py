"""Against random-slope fits by R's lme4, recorded at full precision."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference_fits import REFERENCES, in_their_order, reference_covariance

from trialscan.statistics import check_random_slope

each_reference = pytest.mark.parametrize("reference", REFERENCES, ids=lambda each: each.name)


@each_reference
def test_restricted_likelihood_is_lme4s(reference, real_data):
    lmer = reference.expected(real_data)["lmer"]
    result = reference.fit(real_data)
    assert (result.n_obs, result.n_patients) == (lmer["n_obs"], lmer["n_subjects"])
    assert abs(result.minus2loglik - lmer["minus2_reml"]) < 1e-9
    assert result.convergence.gradient_norm < 1e-6


@each_reference
def test_estimates_errors_and_normal_inference_are_lme4s(reference, real_data):
    lmer = reference.expected(real_data)["lmer"]
    table = in_their_order(reference.fit(real_data, df="asymptotic"), lmer)
    for column in ("estimate", "se", "t", "lower", "upper"):
        assert_allclose(table[column], [row[column] for row in lmer["wald_z"]], rtol=1e-6)
    assert_allclose(np.log(table["p"] + 1e-300), np.log([row["p"] + 1e-300 for row in lmer["wald_z"]]), rtol=1e-6)
    assert np.isinf(table["df"]).all()


@each_reference
@pytest.mark.parametrize(
    ("df", "information", "theirs"),
    [
        ("satterthwaite", None, "satterthwaite"),
        ("kenward-roger", None, "kenward_roger"),
        ("kenward-roger-linear", None, "kenward_roger"),
        ("kenward-roger", "expected", "kenward_roger"),
    ],
)
def test_degrees_of_freedom_are_lmertests_and_pbkrtests(reference, df, information, theirs, real_data):
    lmer = reference.expected(real_data)["lmer"]
    result = reference.fit(real_data, df=df, information=information)
    table = in_their_order(result, lmer)
    for column, tolerance in {"estimate": 1e-6, "se": 1e-6, "df": 1e-5, "lower": 1e-5, "upper": 1e-5}.items():
        assert_allclose(table[column], [row[column] for row in lmer[theirs]], rtol=tolerance)


@each_reference
def test_covariances_are_lme4s(reference, real_data):
    lmer = reference.expected(real_data)["lmer"]
    result = reference.fit(real_data, df="satterthwaite")
    order = [result.names.index(name) for name in in_their_order(result, lmer).index]
    size = np.sqrt(np.outer(np.diag(lmer["vcov"]), np.diag(lmer["vcov"])))
    assert_allclose(result.vcov[np.ix_(order, order)] / size, np.array(lmer["vcov"]) / size, atol=1e-6)
    G, sigma2 = reference_covariance(lmer)
    assert_allclose(result.covariance.G, G, rtol=2e-5)  # lme4 stops at a gradient of 1e-5 or more
    assert_allclose(result.covariance.sigma2, sigma2, rtol=1e-6)
    assert not result.convergence.singular


@pytest.mark.parametrize(("reference", "by"), [(REFERENCES[1], "Sex"), (REFERENCES[2], "arm")], ids=str)
def test_slopes_by_arm_are_emmeans(reference, by, real_data):
    theirs = reference.expected(real_data)["emtrends"][0]
    result = reference.fit(real_data, df="satterthwaite")
    slopes = result.slopes(by)
    trend = next(key for key in theirs["slopes"][0] if key.endswith(".trend"))
    assert list(slopes.index) == [row[by] for row in theirs["slopes"]]
    assert_allclose(slopes["estimate"], [row[trend] for row in theirs["slopes"]], rtol=1e-6)
    assert_allclose(slopes["se"], [row["SE"] for row in theirs["slopes"]], rtol=1e-6)
    assert_allclose(slopes["df"], [row["df"] for row in theirs["slopes"]], rtol=1e-5)
    difference = theirs["difference"][0]
    first, second = difference["contrast"].split(" - ")
    row = result.slope_differences(by, reference=second).loc[first]
    assert_allclose(row[["estimate", "se"]].to_numpy(float), [difference["estimate"], difference["SE"]], rtol=1e-6)


@each_reference
def test_statsmodels_agrees(reference, real_data):
    check = check_random_slope(reference.fit(real_data))
    assert check.verdict == "agrees", check
    assert abs(check.loglik_difference) < 1e-4
    assert check.effect_difference_se < 1e-2
