from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from trialscan.lesions import Change, Lesion
from trialscan.lesions.change import judge as judge_measured
from trialscan.lesions.error import Measured, ScanFacts, total_sd
from trialscan.study.sections import LesionSettings

SAME = ScanFacts(1.0), ScanFacts(1.0)
SETTINGS = LesionSettings(minimum_ml=0.1, minimum_pixels=25, repeatability_percent=30.0)


def judge(before, after, settings, scans=SAME):
    sides = ([Measured(one, scan) for one in side] for side, scan in zip((before, after), scans, strict=True))
    return judge_measured(*sides, settings)


def lesion(volume_ml=None, *, area_mm2=None, organ_percent=None, voxels=10_000, cut=False):
    return Lesion(
        number=1,
        class_name="lesion",
        voxel_count=voxels,
        class_voxels={"lesion": voxels},
        volume_ml=volume_ml,
        class_ml={"lesion": volume_ml},
        area_mm2=area_mm2,
        organ_percent=organ_percent,
        longest_diameter_mm=None,
        slice_diameter_mm=None,
        slice_perpendicular_mm=None,
        mean_intensity=None,
        sd_intensity=None,
        centroid=(0.0, 0.0, 0.0),
        centroid_unit="mm",
        bounding_box=((0, 1), (0, 1), (0, 1)),
        touches_border=cut,
    )


@pytest.mark.parametrize(
    ("before_ml", "after_ml", "change"),
    [
        (1.0, 1.0, Change.STABLE),
        (1.0, 1.29, Change.STABLE),
        (1.0, 1.31, Change.GROWING),
        (1.31, 1.0, Change.SHRINKING),
        (1.29, 1.0, Change.STABLE),
        (10.0, 7.75, Change.STABLE),
        (10.0, 7.6, Change.SHRINKING),
        (0.2, 0.3, Change.INDETERMINATE),
        (0.3, 0.2, Change.INDETERMINATE),
        (0.2, 0.35, Change.GROWING),
        (0.2, 0.11, Change.SHRINKING),
        (0.2, 0.22, Change.STABLE),
    ],
)
def test_change_is_called_beyond_repeatability_and_twice_that_when_small(before_ml, after_ml, change):
    judgement = judge([lesion(before_ml)], [lesion(after_ml)], SETTINGS)
    assert judgement.change is change
    assert judgement.percent == pytest.approx(100 * (after_ml / before_ml - 1))
    assert bool(judgement.note) == (change is Change.INDETERMINATE)


@pytest.mark.parametrize(
    ("after_ml", "cut_before", "cut_after", "change"),
    [
        (2.0, True, False, Change.INDETERMINATE),
        (2.0, False, True, Change.GROWING),
        (0.5, True, False, Change.SHRINKING),
        (0.5, False, True, Change.INDETERMINATE),
        (1.0, True, False, Change.INDETERMINATE),
        (1.0, False, True, Change.INDETERMINATE),
        (0.2, True, True, Change.INDETERMINATE),
    ],
)
def test_a_cut_lesion_can_only_be_larger_than_measured(after_ml, cut_before, cut_after, change):
    judgement = judge([lesion(1.0, cut=cut_before)], [lesion(after_ml, cut=cut_after)], SETTINGS)
    assert judgement.change is change


def test_lesions_that_merge_are_judged_together():
    judgement = judge([lesion(1.0), lesion(2.0)], [lesion(3.1)], SETTINGS)
    assert judgement.change is Change.STABLE
    assert judgement.percent == pytest.approx(100 * (3.1 / 3 - 1))


def test_without_millilitres_areas_then_shares_are_compared():
    by_area = judge([lesion(area_mm2=100, organ_percent=1)], [lesion(area_mm2=150, organ_percent=1)], SETTINGS)
    assert by_area.change is Change.GROWING
    by_share = judge([lesion(area_mm2=100, organ_percent=1)], [lesion(organ_percent=1)], SETTINGS)
    assert by_share.change is Change.STABLE
    small = replace(lesion(organ_percent=1.5), voxel_count=74)
    assert judge([lesion(organ_percent=1)], [small], SETTINGS).change is Change.INDETERMINATE


def test_sizes_that_cannot_be_compared_are_no_change_and_no_stability():
    judgement = judge([lesion(area_mm2=100)], [lesion(organ_percent=2)], SETTINGS)
    assert (judgement.change, judgement.percent) == (Change.INDETERMINATE, None)
    assert "no size" in judgement.note


TABLE = LesionSettings(
    repeatability=[
        {"from_ml": 0.0, "max_slice_mm": 2.0, "sd_log": 0.3},
        {"from_ml": 1.0, "max_slice_mm": 2.0, "sd_log": 0.1, "sd_log_across": 0.2},
        {"from_ml": 1.0, "max_slice_mm": 5.0, "sd_log": 0.15},
    ]
)


def beyond(sd_before, sd_after):
    """The ratio that 95 % of two measurements with these errors stay within."""
    return np.exp(1.959964 * np.hypot(sd_before, sd_after))


@pytest.mark.parametrize(
    ("before_ml", "scans", "sds"),
    [
        (5.0, SAME, (0.1, 0.1)),
        (5.0, (ScanFacts(1.0), ScanFacts(5.0)), (0.2, 0.15 * 1.5)),  # another thickness: errors across scanners
        (5.0, (ScanFacts(4.0), ScanFacts(5.0)), (0.15, 0.15)),
        (5.0, (ScanFacts(1.0, "A"), ScanFacts(1.0, "B")), (0.2, 0.2)),
        (5.0, (ScanFacts(1.0, "A"), ScanFacts(1.0, "")), (0.1, 0.1)),
        (0.9, SAME, (0.3, 0.1)),  # grows into a class that repeats better
    ],
)
def test_growth_is_called_beyond_the_error_of_both_measurements(before_ml, scans, sds):
    limit = beyond(*sds)
    within, without = (
        judge([lesion(before_ml)], [lesion(before_ml * limit * f)], TABLE, scans) for f in (0.999, 1.001)
    )
    assert within.change in {Change.STABLE, Change.INDETERMINATE}
    assert without.change is Change.GROWING
    assert without.probability == pytest.approx(0.975, abs=0.001)


def test_other_scans_are_named():
    kernels = judge([lesion(5.0)], [lesion(5.1)], TABLE, (ScanFacts(1.0, "A"), ScanFacts(1.0, "B")))
    assert (kernels.change, kernels.note) == (Change.STABLE, "another scanner or kernel")
    assert (
        judge([lesion(5.0)], [lesion(5.1)], TABLE, (ScanFacts(1.0), ScanFacts(5.0))).note == "another slice thickness"
    )


def test_what_cannot_exclude_a_doubling_is_indeterminate_and_says_how_likely_a_change_is():
    small = judge([lesion(0.5)], [lesion(0.5)], TABLE)
    assert (small.change, small.probability) == (Change.INDETERMINATE, 0.5)
    assert small.note == "too uncertain to exclude a doubling or halving"
    sure = judge([lesion(5.0)], [lesion(5.0)], TABLE)
    assert sure.change is Change.STABLE
    assert sure.probability == pytest.approx(2 * stats.norm.cdf(np.log(2) / np.hypot(0.1, 0.1)) - 1)


@pytest.mark.parametrize(
    ("common", "sd"), [(0.0, 0.1 / np.sqrt(2)), (1.0, 0.1), (0.25, np.sqrt(0.75 * 0.005 + 0.0025))]
)
def test_errors_of_a_sum_are_independent_but_for_the_common_share(common, sd):
    pair = [Measured(lesion(5.0), ScanFacts(1.0))] * 2
    settings = TABLE.model_copy(update={"repeatability_common": common})
    assert total_sd(pair, "volume_ml", settings) == pytest.approx(sd)


@pytest.mark.parametrize(("common", "seed"), [(0.0, 1), (0.4, 2)])
def test_unchanged_lesions_are_called_changed_as_often_as_the_error_allows(common, seed):
    # Errors as the table says they are, drawn anew for both scans: one lesion, and sums of three.
    rng = np.random.default_rng(seed)
    settings = LesionSettings(repeatability=[{"sd_log": 0.12}], repeatability_common=common)
    for number in (1, 3):
        called = []
        for _ in range(4000):
            sizes = rng.uniform(2, 20, number)
            shared = rng.normal(0, 0.12 * np.sqrt(common), (2, 1))
            own = rng.normal(0, 0.12 * np.sqrt(1 - common), (2, number))
            scans = [[lesion(float(v)) for v in row] for row in sizes * np.exp(shared + own)]
            called.append(judge(*scans, settings).change in {Change.GROWING, Change.SHRINKING})
        assert np.mean(called) == pytest.approx(0.05, abs=0.01)
