"""Agreement against published examples and closed forms."""

import numpy as np
import pytest
from scipy import stats

from trialscan.segmentation.evaluation.agreement import (
    concordance_correlation,
    intraclass_correlations,
    limit_factor,
    limits_of_agreement,
    pearson_correlation,
    proportional_bias,
)

# Peak expiratory flow in l/min by two meters, first readings: Bland & Altman, Lancet 1986; 1: 307.
WRIGHT = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427], float)
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451], float)

# Six targets by four judges: Shrout & Fleiss, Psychol Bull 1979; 86: 420, table 2.
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


def interval(estimate):
    return [estimate.value, estimate.lower, estimate.upper]


def test_limits_of_agreement_of_peak_flow_are_those_published():
    found = limits_of_agreement(WRIGHT, MINI)
    assert found.n == 17
    assert interval(found.bias) == pytest.approx([-2.1, -22.0, 17.8], abs=0.06)
    assert found.sd.value == pytest.approx(38.8, abs=0.05)
    # The paper takes 2 SD: −79.7 and 75.5.
    assert [found.bias.value - 2 * found.sd.value, found.bias.value + 2 * found.sd.value] == pytest.approx(
        [-79.7, 75.5], abs=0.2
    )
    assert found.lower_limit.value == pytest.approx(found.bias.value - 1.959964 * found.sd.value)


@pytest.mark.parametrize(("n", "factor"), [(5, 4.203), (10, 2.911), (20, 2.396), (30, 2.220)])
def test_the_factors_of_limits_are_those_of_tolerance_intervals(n: int, factor: float):
    # One-sided tolerance factors, content 0.95 at confidence 0.95, as tabled (Hahn & Meeker 1991, table A.12d).
    assert limit_factor(n, stats.norm.ppf(0.95), 0.95) == pytest.approx(factor, abs=6e-4)


def test_intervals_of_limits_hold_the_truth_as_often_as_they_say_and_the_approximation_does_not():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 6))
    truth, exact, approximate = 1.959964, 0, 0
    for gaps in draws:
        found = limits_of_agreement(gaps, np.zeros(6)).upper_limit
        exact += found.lower <= truth <= found.upper
        reach = stats.t.ppf(0.975, 5) * gaps.std(ddof=1) * np.sqrt(1 / 6 + 1.96**2 / 10)
        approximate += abs(found.value - truth) <= reach
    assert exact / 4000 == pytest.approx(0.95, abs=0.01)
    assert approximate / 4000 < 0.94


def test_large_samples_have_bland_and_altmans_approximate_interval():
    gaps = np.random.default_rng(1).normal(size=5000)
    found = limits_of_agreement(gaps, np.zeros(5000)).lower_limit
    reach = stats.t.ppf(0.975, 4999) * gaps.std(ddof=1) * np.sqrt(1 / 5000 + 1.959964**2 / (2 * 4999))
    assert interval(found)[1:] == pytest.approx([found.value - reach, found.value + reach], abs=2e-3)


def test_intraclass_correlations_are_shrout_and_fleisss():
    absolute, consistent = intraclass_correlations(SHROUT_FLEISS)
    # Values as published; the intervals as R's psych and irr print them.
    assert interval(absolute) == pytest.approx([0.290, 0.019, 0.761], abs=5e-4)
    assert interval(consistent) == pytest.approx([0.715, 0.342, 0.946], abs=5e-4)


def test_intraclass_correlations_at_their_ends():
    same = np.array([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]])
    assert [interval(each) for each in intraclass_correlations(same)] == [[1, 1, 1], [1, 1, 1]]
    absolute, consistent = intraclass_correlations(same + np.array([0.0, 1.0]))
    assert interval(consistent) == [1, 1, 1]
    assert absolute.value == pytest.approx(1 / (1 + 0.5 / np.var([1, 2, 5], ddof=1)))
    assert absolute.lower < absolute.value < 1
    assert intraclass_correlations(np.ones((4, 2))) is None


def test_concordance_is_lins_and_falls_with_shift_where_pearson_does_not():
    found = concordance_correlation(WRIGHT, MINI)
    joint = 2 * np.cov(WRIGHT, MINI, ddof=0)[0, 1]
    assert found.value == pytest.approx(joint / (WRIGHT.var() + MINI.var() + (WRIGHT.mean() - MINI.mean()) ** 2))
    assert found.lower < found.value < found.upper
    shifted = concordance_correlation(WRIGHT + 100, MINI)
    assert shifted.value < found.value - 0.2
    assert pearson_correlation(WRIGHT + 100, MINI).value == pytest.approx(0.943, abs=5e-4)


def test_the_interval_of_concordance_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    truth = 2 * 0.9 / (1 + 1 + 0.3**2)
    held = 0
    for _ in range(2000):
        pairs = rng.multivariate_normal([0.3, 0.0], [[1, 0.9], [0.9, 1]], size=50)
        found = concordance_correlation(pairs[:, 0], pairs[:, 1])
        held += found.lower <= truth <= found.upper
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_the_interval_of_pearsons_r_is_fishers():
    found = pearson_correlation(WRIGHT, MINI)
    expected = stats.pearsonr(WRIGHT, MINI).confidence_interval(0.95)
    assert interval(found) == pytest.approx([stats.pearsonr(WRIGHT, MINI).statistic, expected.low, expected.high])


def test_a_bias_that_grows_with_size_has_its_slope():
    size = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    found = proportional_bias(1.1 * size, size)
    assert interval(found) == pytest.approx([0.1 / 1.05] * 3)


@pytest.mark.parametrize("values", [np.zeros(4), np.full(4, 3.0)])
def test_values_that_do_not_vary_have_no_correlation(values):
    assert pearson_correlation(values, values) is None
    assert concordance_correlation(values, values) is None
    assert proportional_bias(values, values) is None


def test_equal_values_agree_wholly():
    size = np.array([1.0, 5.0, 7.0, 20.0])
    assert interval(pearson_correlation(size, size)) == [1, 1, 1]
    assert interval(concordance_correlation(size, size)) == [1, 1, 1]
    assert interval(limits_of_agreement(size, size).upper_limit) == [0, 0, 0]
