"""Repeated trials with known truth: estimates are unbiased, and intervals cover as often as they say."""

import importlib.util
from pathlib import Path

import numpy as np
from scipy import stats

from trialscan.statistics import fit_random_slope

_SPEC = importlib.util.spec_from_file_location("statistics_conftest", Path(__file__).with_name("conftest.py"))
_CONFTEST = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_CONFTEST)

TRIALS = 200
PATIENTS = 40
TRUTH = -0.01


def test_bias_and_coverage_of_the_difference_in_slope():
    estimates, covered, G = [], 0, []
    for seed in range(TRIALS):
        table = _CONFTEST.simulate(1000 + seed, patients=PATIENTS)
        result = fit_random_slope(table, "y ~ arm * day", patient="id", time="day")
        row = result.contrast({"arm[T.b]:day": 1.0}, "difference").iloc[0]
        estimates.append(row["estimate"])
        covered += row["lower"] <= TRUTH <= row["upper"]
        G.append(result.covariance.G[[0, 1], [0, 1]])
    error = np.std(estimates, ddof=1) / np.sqrt(TRIALS)
    assert abs(np.mean(estimates) - TRUTH) < 3 * error
    assert stats.binomtest(int(covered), TRIALS, 0.95).pvalue > 0.01
    for name, found, truth in zip(("intercept", "slope"), np.transpose(G), (1.0, 1e-4), strict=True):
        assert abs(np.mean(found) - truth) < 4 * np.std(found, ddof=1) / np.sqrt(TRIALS), name
