"""The batched likelihood against dense matrices, and its derivatives against differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from trialscan.statistics.covariance_map import CovarianceMap, relative
from trialscan.statistics.design import build_design
from trialscan.statistics.slope_likelihood import SlopeLikelihood
from trialscan.statistics.slope_moments import slope_moments

PHI = np.array([0.5, 0.1, 0.3, 0.2])


@pytest.fixture
def design(trial):
    rng = np.random.default_rng(3)
    ragged = trial[rng.uniform(size=len(trial)) < 0.6]
    return build_design(ragged, "y ~ arm * day", patient="id", time="day")


def dense(design, phi, *, reml):
    """−2 log-likelihood on the working scale by N × N matrices."""
    _, scales = slope_moments(design)
    t = (design.time - scales.time_center) / scales.time_scale
    Q = design.basis.Q
    y = (design.y - Q @ (Q.T @ design.y)) / scales.y_scale
    who = np.repeat(np.arange(len(design.first_row)), np.diff(np.append(design.first_row, len(t))))
    Z = np.column_stack([np.ones_like(t), t])
    G = relative(phi) * phi[3]
    V = (Z @ G @ Z.T) * (who[:, None] == who) + phi[3] * np.eye(len(t))
    inverse = np.linalg.inv(V)
    information = Q.T @ inverse @ Q
    r = y - Q @ np.linalg.solve(information, Q.T @ inverse @ y)
    value = np.linalg.slogdet(V)[1] + r @ inverse @ r + len(t) * np.log(2 * np.pi)
    if reml:
        value += np.linalg.slogdet(information)[1] - Q.shape[1] * np.log(2 * np.pi)
    return value


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("phi", [PHI, np.array([1.0, 0.5, 0.25, 0.1]), np.array([0.0, 0.0, 0.0, 1.0])])
def test_value_is_that_of_dense_matrices(design, phi, reml):
    moments, _ = slope_moments(design)
    assert min(moments.counts) == 1
    likelihood = SlopeLikelihood(moments, reml=reml)
    assert_allclose(likelihood(phi).value, dense(design, phi, reml=reml), rtol=1e-12)
    assert likelihood.first_order(phi)[0] == likelihood(phi).value


@pytest.mark.parametrize("reml", [True, False])
def test_derivatives_in_natural_parameters(design, reml):
    likelihood = SlopeLikelihood(slope_moments(design)[0], reml=reml)
    at = likelihood(PHI)
    steps = 1e-5 * np.eye(4)
    values = [(likelihood(PHI + step).value - likelihood(PHI - step).value) / 2e-5 for step in steps]
    gradients = [(likelihood(PHI + step).gradient - likelihood(PHI - step).gradient) / 2e-5 for step in steps]
    assert_allclose(at.gradient, values, rtol=1e-6)
    assert_allclose(at.hessian, gradients, rtol=1e-5, atol=1e-5)
    assert_allclose(likelihood.first_order(PHI)[1], at.gradient, rtol=1e-13)


@pytest.mark.parametrize("slope_first", [True, False])
def test_chain_rule_to_the_parameters_of_optimisation(design, slope_first):
    chart = CovarianceMap(slope_first=slope_first)
    likelihood = SlopeLikelihood(slope_moments(design)[0], reml=True)
    theta = np.array([0.8, -0.3, 0.5, -0.2])

    def gradient(at):
        return chart.chained_gradient(at, likelihood(chart.natural(at)).gradient)

    steps = 1e-5 * np.eye(4)
    values = [
        (likelihood(chart.natural(theta + step)).value - likelihood(chart.natural(theta - step)).value) / 2e-5
        for step in steps
    ]
    assert_allclose(gradient(theta), values, rtol=1e-6, atol=1e-6)
    at = likelihood(chart.natural(theta))
    differences = [(gradient(theta + step) - gradient(theta - step)) / 2e-5 for step in steps]
    assert_allclose(chart.chained_hessian(theta, at.gradient, at.hessian), differences, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("slope_first", [True, False])
def test_parameters_survive_the_way_back(slope_first):
    chart = CovarianceMap(slope_first=slope_first)
    for omega in (
        [[2.0, 0.3], [0.3, 0.5]],
        [[1.0, 0.5], [0.5, 0.25]],
        [[0.0, 0.0], [0.0, 0.4]],
        [[0.0, 0.0], [0.0, 0.0]],
    ):
        phi = chart.natural(chart.theta(np.array(omega), 0.3))
        assert_allclose(relative(phi), omega, atol=1e-15)
        assert_allclose(phi[3], np.exp(0.6))


def test_variance_far_above_the_residual_costs_no_digits(design):
    likelihood = SlopeLikelihood(slope_moments(design)[0], reml=True)
    phi = np.array([1e8, 1e7, 1e8, 1.0])
    step = np.array([0.0, 0.0, 0.0, 1e-5])
    slope = (likelihood(phi + step).value - likelihood(phi - step).value) / 2e-5
    assert_allclose(likelihood(phi).gradient[3], slope, rtol=1e-5)
