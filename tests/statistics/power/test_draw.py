import numpy as np
import pytest
from scipy import stats

from trialscan.statistics.power.draw import Population

MANY = {"control": {"patients": 5000}, "treated": {"patients": 5000, "effect": [0, 0, -0.2, -0.4, -0.6]}}


def test_means_and_covariances_are_those_of_the_design(designed):
    design = designed(arms=MANY, drop_out={}, measurement={"sd": 0.5})
    y = Population.of(design).trial(0, 0, effective=True)
    control, treated = y[:5000], y[5000:]
    assert control.mean(axis=0) == pytest.approx([4.0, 3.9, 3.9, 3.8, 3.6], abs=0.06)
    assert (treated - control).mean(axis=0) == pytest.approx([0, 0, -0.2, -0.4, -0.6], abs=0.08)
    lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    assert np.cov(control.T) == pytest.approx(0.7**lag + 0.25 * np.eye(5), abs=0.08)


def test_a_trial_is_its_own_whatever_else_is_drawn(designed):
    population = Population.of(designed())
    again = Population.of(designed(simulations=7))
    first = population.trial(0, 3, effective=False)
    assert np.array_equal(first, again.trial(0, 3, effective=False), equal_nan=True)
    assert not np.array_equal(first, population.trial(0, 4, effective=False), equal_nan=True)
    assert not np.array_equal(first, population.trial(1, 3, effective=False), equal_nan=True)


def test_those_who_leave_stay_away_and_are_as_many_as_designed(designed):
    y = Population.of(designed(arms=MANY)).trial(0, 0, effective=False)
    gone = np.isnan(y)
    assert not gone[:, 0].any()
    assert np.all(gone[:, 1:] >= gone[:, :-1])
    assert stats.binomtest(int(gone[:, -1].sum()), 10_000, 0.22).pvalue > 0.001
    hazards = [0.0, 0.3, 0.0, 0.1]
    y = Population.of(designed(arms=MANY, drop_out={"hazards": hazards})).trial(0, 0, effective=False)
    lost = np.diff(np.isnan(y).sum(axis=0)) / np.sum(~np.isnan(y), axis=0)[:-1]
    assert lost == pytest.approx(hazards, abs=0.02)


def test_drop_out_at_random_follows_the_last_observed_value(designed):
    design = designed(arms=MANY, drop_out={"hazards": [0.2, 0, 0, 0], "odds_ratio_per_sd": 3.0})
    y = Population.of(design).trial(0, 0, effective=False)
    left = np.isnan(y[:, 1])
    above = y[:, 0] - 4.0
    low, high = (left[(above > at - 0.1) & (above < at + 0.1)] for at in (0.0, 1.0))
    assert low.mean() == pytest.approx(0.2, abs=0.05)
    odds = high.mean() / (1 - high.mean())
    assert odds / (0.2 / 0.8) == pytest.approx(3.0, rel=0.3)
