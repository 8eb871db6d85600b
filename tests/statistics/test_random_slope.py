"""The random-slope fit: closed forms, invariances, the boundary, and what it refuses to call a result."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from trialscan.errors import StatisticsError
from trialscan.statistics import fit_random_slope
from trialscan.statistics.design import build_design
from trialscan.statistics.slope_likelihood import SlopeLikelihood
from trialscan.statistics.slope_minimum import find_minimum
from trialscan.statistics.slope_moments import slope_moments


def fit(table, formula="y ~ arm * day", **settings):
    return fit_random_slope(table, formula, patient="id", time="day", **settings)


@pytest.fixture
def balanced(trial):
    return trial.assign(day=trial["number"] * 28.0)


def per_patient_lines(table):
    lines = {who: np.polyfit(rows["day"], rows["y"], 1) for who, rows in table.groupby("id")}
    coefficients = np.array([line[::-1] for line in lines.values()])
    arms = table.drop_duplicates("id").set_index("id")["arm"].loc[list(lines)].to_numpy()
    return coefficients, arms


def test_balanced_data_give_the_means_of_the_patients_own_lines(balanced):
    lines, arms = per_patient_lines(balanced)
    means = {arm: lines[arms == arm].mean(axis=0) for arm in "ab"}
    result = fit(balanced)
    expected = [*means["a"], *(means["b"] - means["a"])]
    order = [result.names.index(name) for name in ("Intercept", "day", "arm[T.b]", "arm[T.b]:day")]
    assert_allclose(result.beta[order], expected, rtol=1e-9, atol=1e-12)


def test_balanced_data_give_the_variance_components_of_moments(balanced):
    lines, arms = per_patient_lines(balanced)
    n_patients, days = len(lines), np.unique(balanced["day"])
    Z = np.column_stack([np.ones_like(days), days])
    fitted = np.concatenate([Z @ line for line in lines])
    sigma2 = np.sum((balanced.sort_values(["id", "day"])["y"] - fitted) ** 2) / (n_patients * (len(days) - 2))
    centred = lines - np.array([lines[arms == arm].mean(axis=0) for arm in arms])
    between = centred.T @ centred / (n_patients - 2)
    result = fit(balanced)
    assert_allclose(result.covariance.sigma2, sigma2, rtol=1e-9)
    assert_allclose(result.covariance.G, between - sigma2 * np.linalg.inv(Z.T @ Z), rtol=1e-7)
    slopes = result.slopes("arm")
    assert_allclose(slopes["se"] ** 2, between[1, 1] / 12, rtol=1e-9)


def test_inference_is_the_normal_distributions(trial):
    result = fit(trial, alpha=0.1, df="asymptotic")
    row = result.coefficients.loc["day"]
    assert row["t"] == row["estimate"] / row["se"]
    assert_allclose(row["p"], 2 * stats.norm.sf(abs(row["t"])))
    assert_allclose(row["upper"] - row["lower"], 2 * 1.6448536269514722 * row["se"])
    assert row["df"] == np.inf
    assert result.inference.method.description == "asymptotic (normal) inference"


def test_row_order_changes_no_bit(trial):
    first = fit(trial)
    second = fit(trial.sample(frac=1, random_state=3))
    assert first.beta.tobytes() == second.beta.tobytes()
    assert first.vcov.tobytes() == second.vcov.tobytes()
    assert first.minus2loglik == second.minus2loglik
    assert first.convergence == second.convergence


def test_units_of_outcome_and_time_carry_through(trial):
    first = fit(trial)
    second = fit(trial.assign(y=1000 * trial["y"] - 7e5, day=trial["day"] / 7 + 2000))
    scale = np.diag([1.0, 7.0])
    shift = np.array([[1.0, -2000.0], [0.0, 1.0]])
    expected = 1e6 * shift @ scale @ first.covariance.G @ scale @ shift.T
    assert_allclose(second.covariance.G, expected, rtol=1e-6)
    assert_allclose(second.covariance.sigma2, 1e6 * first.covariance.sigma2, rtol=1e-8)
    assert_allclose(second.slopes("arm")["se"], 7000 * first.slopes("arm")["se"], rtol=1e-8)
    free = len(trial) - 4
    jacobian = 2 * free * np.log(1000) + 2 * 2 * np.log(1 / 7)
    assert_allclose(second.minus2loglik, first.minus2loglik + jacobian, rtol=1e-10)


def test_maximum_likelihood_lies_below_restricted_variances(trial):
    restricted, full = fit(trial), fit(trial, reml=False)
    assert full.covariance.G[0, 0] < restricted.covariance.G[0, 0]
    assert not full.reml


def test_any_other_coding_gives_the_same_likelihood(trial):
    with_reference = fit(trial, reml=False)
    by_arm = fit(trial, "y ~ 0 + arm + arm:day", reml=False)
    assert_allclose(by_arm.minus2loglik, with_reference.minus2loglik, rtol=1e-12)
    assert_allclose(by_arm.slopes("arm"), with_reference.slopes("arm"), rtol=1e-7)


def test_contrasts_by_name_and_position(trial):
    result = fit(trial)
    weights = {"day": 1.0, "arm[T.b]:day": 1.0}
    vector = [weights.get(name, 0.0) for name in result.names]
    named, placed = result.contrast(weights, "slope of b"), result.contrast(vector, "slope of b")
    pd.testing.assert_frame_equal(named, placed)
    assert_allclose(named.loc["slope of b", "estimate"], result.slopes("arm").loc["b", "estimate"], rtol=1e-12)
    with pytest.raises(StatisticsError, match="no coefficient named dya"):
        result.contrast({"dya": 1.0}, "typo")
    with pytest.raises(StatisticsError, match=r"contrast 'short': shape \(1,\); expected \(4,\)"):
        result.contrast([1.0], "short")


def test_slopes_average_over_a_covariate_that_bends_them(trial):
    age = trial["id"].map({who: 30 + 2 * index for index, who in enumerate(sorted(trial["id"].unique()))})
    result = fit(trial.assign(age=age), "y ~ arm * day + age:day")
    weights = {"day": 1.0, "age:day": float(age.mean())}
    assert_allclose(result.slopes("arm").loc["a", "estimate"], result.contrast(weights, "a")["estimate"].iloc[0])


def test_slopes_need_a_factor_and_a_straight_line(trial):
    with pytest.raises(StatisticsError, match="not linear in day"):
        fit(trial, "y ~ arm + day + I(day**2)").slopes("arm")
    with pytest.raises(StatisticsError, match="no column named 'sex'"):
        fit(trial).slopes("sex")
    with pytest.raises(StatisticsError, match="expected a factor"):
        fit(trial).slopes("day")
    with pytest.raises(StatisticsError, match="no such level of 'arm'; expected one of a, b"):
        fit(trial).slope_differences("arm", "c")


def test_result_survives_pickling(trial):
    result = fit(trial)
    back = pickle.loads(pickle.dumps(result))  # noqa: S301 - our own bytes
    pd.testing.assert_frame_equal(back.slopes("arm"), result.slopes("arm"))


def test_rows_without_an_outcome_are_counted(trial):
    missing = trial.copy()
    missing.loc[[3, 9], "y"] = np.nan
    result = fit(missing)
    assert (result.n_missing_outcome, result.n_obs) == (2, len(trial) - 2)


def singular_trial(seed, **variances):
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(12):
        intercept = rng.normal() * variances.get("intercept_sd", 0.0)
        for visit in range(4):
            y = intercept * (1 + visit * variances.get("tie", 0.0)) + rng.normal() * 0.3
            rows.append((f"P{number:02d}", "ab"[number % 2], visit * 28.0, y))
    return pd.DataFrame(rows, columns=["id", "arm", "day", "y"])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("variances", [{}, {"intercept_sd": 1.0}, {"intercept_sd": 1.0, "tie": 0.5}], ids=str)
def test_no_covariance_does_better_than_the_one_found(seed, variances):
    """Boundary or not, moving G in any direction that stays positive semidefinite raises −2 log-likelihood."""

    moments, _ = slope_moments(
        build_design(singular_trial(seed, **variances), "y ~ arm * day", patient="id", time="day")
    )
    likelihood = SlopeLikelihood(moments, reml=True)
    minimum = find_minimum(likelihood)
    lowest = likelihood(minimum.phi).value
    rng = np.random.default_rng(seed)
    G = np.array([[minimum.phi[0], minimum.phi[1]], [minimum.phi[1], minimum.phi[2]]])
    for size in (1e-4, 1e-2, 1.0):
        for _ in range(40):
            values, vectors = np.linalg.eigh(G + size * np.sum([[1, 0.5], [0.5, 1]]) * _symmetric(rng))
            near = (vectors * np.maximum(values, 0)) @ vectors.T
            phi = np.array([near[0, 0], near[0, 1], near[1, 1], minimum.phi[3] * np.exp(size * rng.normal() / 10)])
            assert likelihood(phi).value >= lowest - 1e-9


def _symmetric(rng):
    half = rng.normal(size=(2, 2))
    return (half + half.T) / 2


def test_a_boundary_fit_is_reported_as_singular():
    results = [fit(singular_trial(seed, intercept_sd=1.0)) for seed in range(8)]
    singular = [result for result in results if result.convergence.singular]
    assert singular
    for result in singular:
        G = result.covariance.G
        assert np.linalg.det(G) <= 1e-9 * G[0, 0] * max(G[1, 1], 1e-30)
        assert result.convergence.relative_gradient < 1e-8
        assert abs(result.covariance.correlation) > 1 - 1e-6 or np.isnan(result.covariance.correlation)


def test_the_best_of_two_minima_is_found():
    """Five patients with two local minima, 0.36 apart."""
    rng = np.random.default_rng(42)
    rows = []
    for number in range(5):
        u = rng.multivariate_normal([0, 0], [[1, 0], [0, 1e-4]])
        for visit in range(4):
            if visit and rng.uniform() < 0.2:
                continue
            day = visit * 28 + int(rng.integers(-5, 6)) * (visit > 0)
            rows.append((f"P{number}", "ab"[number % 2], day, 3 + u[0] + u[1] * day + rng.normal() * 0.3))
    table = pd.DataFrame(rows, columns=["id", "arm", "day", "y"])

    likelihood = SlopeLikelihood(
        slope_moments(build_design(table, "y ~ arm * day", patient="id", time="day"))[0], reml=True
    )
    lowest = likelihood(find_minimum(likelihood).phi).value
    grid = np.random.default_rng(0)
    for _ in range(3000):
        L = np.array([[grid.normal(), 0.0], [grid.normal(), grid.normal()]]) * np.exp(grid.normal() * 2)
        s2 = np.exp(grid.normal() - 2)
        G = s2 * L @ L.T
        assert likelihood.first_order(np.array([G[0, 0], G[0, 1], G[1, 1], s2]))[0] >= lowest - 1e-9


@pytest.mark.parametrize("name", ["containment", "Satterthwaite", ""])
def test_other_degrees_of_freedom_are_refused(trial, name):
    with pytest.raises(StatisticsError, match="not available; expected one of kenward-roger"):
        fit(trial, df=name)


def test_alpha_must_be_a_probability(trial):
    with pytest.raises(StatisticsError, match="alpha=1"):
        fit(trial, alpha=1)


def test_two_visits_leave_nothing_for_the_residual(trial):
    with pytest.raises(
        StatisticsError, match="own intercepts and slopes take up; expected patients with at least three"
    ):
        fit(trial[trial["number"] < 2])


def test_exact_lines_have_no_residual(trial):
    with pytest.raises(StatisticsError, match="exactly on a straight line"):
        fit(trial.assign(y=trial["day"] * trial["id"].str[1:].astype(float)))


def test_fixed_effects_that_take_up_all_patients_are_told(trial):
    few = trial[trial["id"].isin(["P00", "P01"])]
    with pytest.raises(StatisticsError, match="do not identify the covariance"):
        fit(few)


def test_one_time_only(trial):
    with pytest.raises(StatisticsError, match=r"aliased column\(s\) day"):
        fit(trial[trial["number"] == 0])
    with pytest.raises(StatisticsError, match="time: 0 in every row"):
        fit(trial[trial["number"] == 0], "y ~ arm")
