from dataclasses import replace

import pytest

from trialscan.lesions import Change, Lesion
from trialscan.lesions.change import judge as judge_measured
from trialscan.lesions.error import Measured, ScanFacts
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
