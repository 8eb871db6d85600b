"""Covariance structures: derivatives against differences, and what each structure says of visits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from trialscan.errors import StatisticsError
from trialscan.statistics.covariance import STRUCTURES, structure_named
from trialscan.statistics.covariance.log_cholesky import log_cholesky

STEP = 1e-6


def point(name: str, m: int) -> np.ndarray:
    rng = np.random.default_rng(m)
    phi = STRUCTURES[name].independence(rng.uniform(1, 3, m))
    return phi + 0.1 * rng.random(len(phi))


@pytest.mark.parametrize("m", [1, 2, 5])
@pytest.mark.parametrize("name", STRUCTURES)
def test_derivatives_are_the_limits_of_differences(name, m):
    structure, phi = STRUCTURES[name], point(name, m)
    assert len(phi) == structure.count(m) == len(structure.scales(m))
    at = structure.derivatives(phi, m)
    for index in range(len(phi)):
        step = np.zeros(len(phi))
        step[index] = STEP
        above, below = structure.derivatives(phi + step, m), structure.derivatives(phi - step, m)
        assert_allclose((above.S - below.S) / (2 * STEP), at.first[index], atol=1e-7)
        assert_allclose((above.first - below.first) / (2 * STEP), at.second[index], atol=1e-6)


@pytest.mark.parametrize("name", STRUCTURES)
def test_variances_scale_with_the_outcome_and_correlations_do_not(name):
    structure, phi = STRUCTURES[name], point(name, 4)
    stretched = np.where(structure.scales(4), 9 * phi, phi)
    assert_allclose(structure.derivatives(stretched, 4).S, 9 * structure.derivatives(phi, 4).S)


def test_what_each_structure_says_of_four_visits():
    def covariance(name: str, *phi: float) -> np.ndarray:
        return structure_named(name).derivatives(np.array(phi, dtype=float), 4).S

    assert_allclose(covariance("cs", 4, 1)[0], [4, 1, 1, 1])
    assert_allclose(covariance("toep", 4, 3, 2, 1)[1], [3, 4, 3, 2])
    assert_allclose(covariance("ar1", 4, 0.5)[0], [4, 2, 1, 0.5])
    assert_allclose(covariance("ar1h", 1, 4, 9, 16, 0.5)[0], [1, 1, 0.75, 0.5])
    assert_allclose(covariance("csh", 1, 4, 9, 16, 0.5)[3], [2, 4, 6, 16])
    assert_allclose(covariance("toeph", 1, 4, 9, 16, 0.5, 0.2, 0.1)[0], [1, 1, 0.6, 0.4])
    assert_allclose(covariance("ad", 4, 0.5, 0.4, 0.1)[0], [4, 2, 0.8, 0.08])
    assert_allclose(covariance("adh", 1, 4, 9, 16, 0.5, 0.4, 0.1)[0], [1, 1, 0.6, 0.08])
    assert_allclose(covariance("us", 1, 2, 5, 3, 4, 6, 7, 8, 9, 10)[2], [3, 4, 6, 9])


@pytest.mark.parametrize("name", ["us", "cs", "csh", "toep", "toeph", "ar1", "ar1h", "ad", "adh"])
def test_mmrms_parameters_reach_the_same_first_order(name):
    """A step in theta moves S as the chart's derivative in phi says; the second derivative is symmetric."""
    structure, phi = STRUCTURES[name], point(name, 4)
    chart = log_cholesky(structure, phi, 4)
    assert_allclose(chart.second, chart.second.transpose(1, 0, 2, 3), atol=1e-12)
    assert_allclose(chart.second, chart.second.transpose(0, 1, 3, 2), atol=1e-12)
    assert np.linalg.matrix_rank(chart.inverse) == len(phi)


def test_an_unknown_structure_is_refused():
    with pytest.raises(StatisticsError, match="one of us, toeph"):
        structure_named("sp_exp")
