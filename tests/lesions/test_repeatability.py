"""Agreement of repeated measurements against published figures, simulated truth, and every degenerate case."""

import numpy as np
import pytest
from scipy import stats

from trialscan.errors import LesionError
from trialscan.lesions.repeatability import RepeatedLesion, agreement, common_share, estimate_repeatability
from trialscan.study.repeatability import COEFFICIENT, RepeatabilityBand

# Peak expiratory flow of 17 subjects, l/min, two readings each by a Wright meter and a mini meter:
# Bland & Altman, Lancet 1986; 1: 307, table 1.
WRIGHT = np.array(
    [
        *((494, 490), (395, 397), (516, 512), (434, 401), (476, 470), (557, 611), (413, 415), (442, 431), (650, 638)),
        *((433, 429), (417, 420), (656, 633), (267, 275), (478, 492), (178, 165), (423, 372), (427, 421)),
    ]
)
MINI = np.array(
    [
        *((512, 525), (430, 415), (520, 508), (428, 444), (500, 500), (600, 625), (364, 460), (380, 390), (658, 642)),
        *((445, 432), (432, 420), (626, 605), (260, 227), (477, 467), (259, 268), (350, 370), (451, 443)),
    ]
)


def test_published_agreement_of_two_peak_flow_meters():
    # Published: mean difference −2.1 (−22.0 to 17.8), SD 38.8, limits −79.7 and 75.5 with ± 1.96 or 2 SD; the interval
    # of the lower limit −114.3 to −45.1, of the upper 40.9 to 110.1, with the rougher error √(3 s²/n) of that paper.
    found = agreement(MINI[:, 0], WRIGHT[:, 0])
    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert (found.bias.lower, found.bias.upper) == pytest.approx((-22.0, 17.8), abs=0.1)
    assert (found.upper_limit.value - found.lower_limit.value) / (2 * 1.96) == pytest.approx(38.8, abs=0.1)
    assert found.lower_limit.value == pytest.approx(-79.7, abs=2.0)
    assert found.upper_limit.value == pytest.approx(75.5, abs=2.0)
    assert found.lower_limit.upper - found.lower_limit.lower == pytest.approx(114.3 - 45.1, abs=1.0)
    assert found.upper_limit.upper - found.upper_limit.lower == pytest.approx(110.1 - 40.9, abs=1.0)


@pytest.mark.parametrize(("readings", "coefficient"), [(WRIGHT, 43.2), (MINI, 56.4)])
def test_published_coefficients_of_repeatability(readings, coefficient):
    # Published: twice the root mean square of the differences, 43.2 (Wright) and 56.4 l/min (mini), that is
    # within-subject SD of 15.3 and 19.9.
    found = agreement(readings[:, 0], readings[:, 1])
    assert 2 * np.sqrt(2) * found.within_sd.value == pytest.approx(coefficient, abs=0.1)
    assert found.repeatability == pytest.approx(1.96 / 2 * coefficient, abs=0.1)
    # A one-way analysis of variance gives the same, and its mean square is χ² distributed over 17 degrees of freedom.
    squares = ((readings - readings.mean(axis=1, keepdims=True)) ** 2).sum()
    assert found.within_sd.value**2 == pytest.approx(squares / 17)
    assert found.within_sd.lower == pytest.approx(np.sqrt(squares / stats.chi2.ppf(0.975, 17)))
    assert found.within_sd.upper == pytest.approx(np.sqrt(squares / stats.chi2.ppf(0.025, 17)))


def test_the_interval_of_the_within_subject_sd_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    held = []
    for _ in range(600):
        readings = rng.normal(0, 5, (12, 1)) + rng.normal(0, 1.5, (12, 2))
        found = agreement(readings[:, 0], readings[:, 1])
        held.append(found.within_sd.lower <= 1.5 <= found.within_sd.upper)
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 600))


@pytest.mark.parametrize("bad", [([1.0], [2.0]), ([1, 2], [1, 2, 3]), ([1, np.nan], [1, 2]), ([], [])])
def test_what_is_no_pair_of_measurements_is_refused(bad):
    with pytest.raises(LesionError, match="two finite measurements"):
        agreement(*bad)


def draw(rng, number, size_ml, sd, *, patient="P", slice_mm=1.0, across=False, bias=0.0):
    first, second = size_ml * np.exp(rng.normal(0, sd, (2, number)))
    second = second * np.exp(bias)
    return [
        RepeatedLesion(f"{patient}{n // 5}", f"L{n}", a, b, slice_mm, across)
        for n, (a, b) in enumerate(zip(first, second, strict=True))
    ]


def test_a_table_is_recovered_from_simulated_pairs():
    rng = np.random.default_rng(7)
    truth = {(0.15, 1.0, False): 0.4, (5.0, 1.0, False): 0.1, (5.0, 5.0, False): 0.25, (5.0, 1.0, True): 0.2}
    pairs = [
        pair
        for (size, slices, across), sd in truth.items()
        for pair in draw(rng, 400, size, sd, slice_mm=slices, across=across)
    ]
    found = {(b.from_ml, b.max_slice_mm): b for b in estimate_repeatability(pairs).table() if b.from_ml in {0.0, 3.0}}
    assert found[0.0, 2.0].sd_log == pytest.approx(0.4, rel=0.15)
    assert found[3.0, 2.0].sd_log == pytest.approx(0.1, rel=0.08)
    assert found[3.0, None].sd_log == pytest.approx(0.25, rel=0.15)
    assert found[3.0, 2.0].sd_log_across == pytest.approx(0.2, rel=0.08)
    assert found[0.0, 2.0].sd_log_across is None


def test_classes_of_few_pairs_are_estimated_but_not_handed_to_a_protocol():
    rng = np.random.default_rng(1)
    few = estimate_repeatability([*draw(rng, 9, 5.0, 0.1), *draw(rng, 30, 0.15, 0.1)])
    assert [(band.from_ml, band.agreement.n) for band in few.bands] == [(0.0, 30), (3.0, 9)]
    assert [row.from_ml for row in few.table()] == [0.0]


def test_identical_measurements_give_the_least_error_and_no_crash():
    same = [RepeatedLesion(f"P{n}", "L01", 2.0, 2.0, 1.0, across=False) for n in range(12)]
    found = estimate_repeatability(same)
    assert found.common == 0
    source = "12 repeated lesions of this trial"
    assert found.table() == (RepeatabilityBand(from_ml=1.0, max_slice_mm=2.0, sd_log=0.001, source=source),)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_common_share_of_the_variance_is_recovered(share):
    rng = np.random.default_rng(5)
    rows = [
        (f"P{n}", float(np.sqrt(share) * common + np.sqrt(1 - share) * own))
        for n, common in enumerate(rng.normal(size=500))
        for own in rng.normal(size=4)
    ]
    assert common_share(rows) == pytest.approx(share, abs=0.06)


def test_a_bias_between_the_scans_counts_as_error_of_each():
    # A scanner that reads 20 % more on the second day repeats worse, and the bias says why.
    pairs = draw(np.random.default_rng(2), 500, 5.0, 0.05, bias=np.log(1.2))
    (band,) = [band for band in estimate_repeatability(pairs).bands if band.from_ml == 3.0]
    assert np.expm1(band.agreement.bias.value) == pytest.approx(0.2, abs=0.01)
    assert band.agreement.within_sd.value == pytest.approx(np.sqrt(0.05**2 + np.log(1.2) ** 2 / 2), rel=0.05)
    assert band.agreement.repeatability == COEFFICIENT * band.agreement.within_sd.value
