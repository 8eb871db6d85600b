"""Intervals that assume no distribution: how often they hold the truth, and their ends."""

import numpy as np
import pytest
from scipy import stats

from trialscan.segmentation.evaluation.interval import mean_interval, median_interval, pooled_detection


def test_the_median_has_the_exact_interval_of_order_statistics():
    values = np.arange(1.0, 26.0)
    found = median_interval(values)
    # n = 25: the 8th and the 18th value hold the median with probability 0.957 (Conover, table A3).
    assert (found.value, found.lower, found.upper) == (13, 8, 18)
    assert stats.binom.cdf(17, 25, 0.5) - stats.binom.cdf(7, 25, 0.5) == pytest.approx(0.957, abs=5e-4)
    assert median_interval(values[:5]).lower is None


def test_the_mean_of_skewed_values_lies_in_its_interval_as_often_as_it_should():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(60):
        found = mean_interval(rng.beta(8, 1.5, size=40))
        held += found.lower <= 8 / 9.5 <= found.upper
    assert held >= 52


def test_equal_values_and_small_samples():
    same = mean_interval(np.full(6, 0.7))
    assert (same.value, same.lower, same.upper) == pytest.approx((0.7, 0.7, 0.7))
    few = mean_interval(np.array([0.1, 0.2, 0.9, 0.4]))
    assert (few.value, few.lower, few.upper) == (pytest.approx(0.4), None, None)


def test_detection_is_pooled_over_lesions_and_resampled_over_scans():
    counts = np.array([[4, 3, 4, 3], [1, 1, 2, 1], [0, 0, 0, 0], [3, 3, 3, 3], [2, 0, 1, 0]], float)
    found = pooled_detection(counts)
    assert (found.recall.value, found.precision.value) == pytest.approx((7 / 10, 7 / 10))
    assert found.false_per_scan.value == pytest.approx(3 / 5)
    for each in (found.recall, found.precision, found.f1, found.false_per_scan):
        assert each.lower < each.value < each.upper
    assert pooled_detection(counts) == found
    assert pooled_detection(counts[:4]).recall.lower is None


def test_lesions_of_one_scan_that_are_alike_widen_the_interval():
    alone = np.tile([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]], (20, 1))
    alike = np.tile([[10.0, 10.0, 10.0, 10.0], [10.0, 0.0, 0.0, 0.0]], (2, 1))
    alike = np.vstack([alike, alike[:1]])
    one, other = pooled_detection(alone).recall, pooled_detection(alike).recall
    assert other.upper - other.lower > 2 * (one.upper - one.lower)


def test_nothing_to_find_has_no_rates():
    found = pooled_detection(np.zeros((6, 4)))
    assert (found.precision, found.recall, found.f1) == (None, None, None)
    assert found.false_per_scan.value == 0
