import dataclasses

import numpy as np
import pytest

from trialscan.errors import GeometryError, LesionError
from trialscan.imaging import Units
from trialscan.lesions import find_lesions
from trialscan.study.sections import LesionSettings


def image_of(mask, value=-500.0):
    return mask.with_array(np.full(mask.shape, value, np.float32), Units.HU)


# Largest error of a ball's volume (percent) and centroid (mm) that its drawing on voxels allows.
@pytest.mark.parametrize(
    ("spacing", "radius", "volume_percent", "centroid_mm"),
    [
        ((1.0, 1.0, 1.0), 5.0, 2.0, 0.05),
        ((1.0, 1.0, 1.0), 15.0, 0.5, 0.02),
        ((0.7, 0.7, 1.25), 8.0, 1.0, 0.05),
        ((0.8, 0.8, 3.0), 10.0, 2.0, 0.1),
        ((0.7, 0.7, 5.0), 10.0, 4.0, 0.3),
        ((2.5, 2.5, 2.5), 10.0, 3.0, 0.2),
    ],
)
@pytest.mark.parametrize("tilted", [False, True])
def test_a_ball_has_its_volume_and_place(
    scene, settings, oblique, spacing, radius, volume_percent, centroid_mm, tilted
):
    shape = tuple(int(45 / step) for step in spacing)
    direction = oblique if tilted else np.eye(3)
    centre = tuple(direction @ (20.3, 21.1, 22.7) + (-40, 10, 300))
    findings = scene(shape, spacing, (-40, 10, 300), direction).findings((centre, radius), settings=settings)
    (lesion,) = findings.lesions
    true_ml = 4 / 3 * np.pi * radius**3 / 1000
    assert lesion.volume_ml == pytest.approx(true_ml, rel=volume_percent / 100)
    assert lesion.centroid == pytest.approx(centre, abs=centroid_mm)
    assert lesion.centroid_unit == "mm"
    assert lesion.longest_diameter_mm == pytest.approx(2 * radius, abs=max(spacing) / 2)
    assert not lesion.touches_border
    assert lesion.area_mm2 is None


def test_lesions_add_up_to_the_burden(scene, settings, make_segmentation):
    canvas = scene((80, 60, 50), (0.9, 0.9, 2.0))
    mask = canvas.mask(((15, 15, 30), 8), ((50, 20, 60), 11), ((30, 40, 80), 3), ((60, 45, 20), 1))
    classes = mask.array.copy()
    classes[55:, :, :][mask.array[55:, :, :] > 0] = 2
    organ = canvas.mask(((35, 27, 50), 40))
    segmentation = make_segmentation(mask.with_array(classes), organ)
    findings = find_lesions(segmentation, image_of(mask), settings)
    lesions, burden = findings.lesions, findings.burden
    assert [lesion.number for lesion in lesions] == [1, 2, 3]
    assert burden.lesion_count == 3
    assert burden.dropped_count == 1
    assert burden.dropped_ml == pytest.approx(burden.dropped_voxels * mask.voxel_ml)
    assert sum(lesion.volume_ml for lesion in lesions) == pytest.approx(burden.burden_ml)
    assert sum(lesion.organ_percent for lesion in lesions) == pytest.approx(burden.burden_percent)
    for name in ("ground_glass", "consolidation"):
        assert sum(lesion.class_ml[name] for lesion in lesions) == pytest.approx(burden.class_ml[name])
    assert sum(burden.class_ml.values()) == pytest.approx(burden.burden_ml)
    assert sum(burden.class_percent.values()) == pytest.approx(burden.burden_percent)
    union = (organ.array > 0) | (findings.labels.array > 0)
    assert burden.organ_ml == pytest.approx(union.sum() * mask.voxel_ml)
    assert burden.burden_percent == pytest.approx(100 * burden.burden_ml / burden.organ_ml)


def test_a_lesion_takes_its_commonest_class_and_the_first_on_a_tie(scene, settings, make_segmentation):
    mask = scene().mask()
    mask.array[10:20, 10:20, 10:20] = 1
    mask.array[10:16, 10:20, 10:20] = 2
    mask.array[40:50, 10:20, 10:20] = 1
    mask.array[40:45, 10:20, 10:20] = 2
    findings = find_lesions(make_segmentation(mask, None), image_of(mask), settings)
    assert [lesion.class_name for lesion in findings.lesions] == ["consolidation", "ground_glass"]
    assert findings.lesions[0].class_voxels == {"ground_glass": 400, "consolidation": 600}


def test_intensity_is_of_the_finite_voxels_of_the_lesion(scene, settings, make_segmentation):
    mask = scene().mask(((30, 30, 30), 6))
    rng = np.random.default_rng(0)
    values = rng.normal(40, 20, mask.shape).astype(np.float32)
    values[30, 30, 30] = np.nan
    (lesion,) = find_lesions(make_segmentation(mask, None), mask.with_array(values, Units.HU), settings).lesions
    inside = values[mask.array > 0].astype(np.float64)
    assert lesion.mean_intensity == pytest.approx(np.nanmean(inside))
    assert lesion.sd_intensity == pytest.approx(np.nanstd(inside))
    lost = mask.with_array(np.full(mask.shape, np.nan, np.float32), Units.HU)
    (blind,) = find_lesions(make_segmentation(mask, None), lost, settings).lesions
    assert blind.mean_intensity is None
    assert blind.sd_intensity is None


@pytest.mark.parametrize("centre", [(3, 30, 30), (30, 57, 30), (30, 30, 56)])
def test_a_lesion_at_the_edge_of_the_field_says_so(scene, settings, centre):
    (lesion,) = scene().findings((centre, 6), settings=settings).lesions
    assert lesion.touches_border


def test_a_planar_scan_with_spacing_has_areas_and_percent_but_no_millilitres(scene, settings):
    findings = scene((100, 80, 1), (0.5, 0.5, 1.0)).findings(((25, 20, 0), 8), settings=settings)
    (lesion,) = findings.lesions
    assert lesion.volume_ml is None
    assert lesion.area_mm2 == pytest.approx(np.pi * 64, rel=0.01)
    assert lesion.longest_diameter_mm == pytest.approx(16, abs=0.25)
    assert lesion.organ_percent == pytest.approx(100 * lesion.voxel_count / 8000)
    assert not lesion.touches_border
    assert findings.burden.burden_ml is None
    assert findings.burden.organ_ml is None
    assert findings.burden.burden_percent == lesion.organ_percent
    assert findings.burden.class_ml == {"ground_glass": None, "consolidation": None}


def test_without_spacing_only_shares_and_pixels_are_measured(scene, settings):
    findings = scene((100, 80, 1), spacing_known=False).findings(((50, 40, 0), 8), ((80, 60, 0), 1), settings=settings)
    (lesion,) = findings.lesions
    assert (lesion.volume_ml, lesion.area_mm2, lesion.longest_diameter_mm) == (None, None, None)
    assert lesion.centroid_unit == "pixel"
    assert lesion.centroid == pytest.approx((50, 40, 0))
    assert lesion.organ_percent == pytest.approx(findings.burden.burden_percent)
    assert findings.burden.dropped_voxels == 5
    assert findings.burden.dropped_ml is None


def test_no_organ_gives_no_percent_but_millilitres(scene, settings):
    burden = scene().findings(((30, 30, 30), 6), settings=settings, organ=False).burden
    assert burden.burden_ml is not None
    assert burden.organ_ml is None
    assert burden.burden_percent is None
    assert burden.class_percent == {"ground_glass": None, "consolidation": None}


def test_an_empty_organ_measures_nothing_and_gives_no_percent(scene, settings, make_segmentation):
    mask = scene().mask(((30, 30, 30), 6))
    empty = mask.with_array(np.zeros(mask.shape, np.uint8))
    findings = find_lesions(make_segmentation(mask, empty), image_of(mask), settings)
    assert findings.burden.organ_ml == 0
    assert findings.burden.burden_percent is None
    assert findings.lesions[0].organ_percent is None


def test_lesions_outside_the_organ_never_exceed_it(scene, settings, make_segmentation):
    canvas = scene()
    lesions, organ = canvas.mask(((15, 30, 30), 10)), canvas.mask(((45, 30, 30), 3))
    burden = find_lesions(make_segmentation(lesions, organ), image_of(lesions), settings).burden
    assert 90 < burden.burden_percent < 100


def test_no_lesion_is_a_burden_of_zero(scene, settings):
    findings = scene().findings(settings=settings)
    assert findings.lesions == ()
    assert findings.burden.burden_ml == 0
    assert findings.burden.burden_percent == 0
    assert findings.burden.lesion_count == 0
    assert not findings.labels.array.any()


def test_a_raised_minimum_only_drops(scene):
    balls = [((15, 15, 15), 3), ((40, 40, 40), 6)]
    few = scene().findings(*balls, settings=LesionSettings(minimum_ml=0.5))
    many = scene().findings(*balls, settings=LesionSettings(minimum_ml=0.05))
    assert few.lesions[0] == many.lesions[0]
    assert few.burden.burden_ml + few.burden.dropped_ml == pytest.approx(many.burden.burden_ml)


def test_masks_on_another_grid_are_refused(scene, settings, make_segmentation):
    mask = scene().mask(((30, 30, 30), 6))
    shifted = scene(origin=(1, 0, 0)).mask()
    with pytest.raises(GeometryError, match="organ mask"):
        find_lesions(make_segmentation(mask, shifted), image_of(mask), settings)
    with pytest.raises(GeometryError, match="lesion mask"):
        find_lesions(make_segmentation(shifted, None), image_of(mask), settings)


@pytest.mark.parametrize("stray", [3, -1])
def test_a_class_without_a_name_is_refused(scene, settings, make_segmentation, stray):
    mask = scene().mask(((30, 30, 30), 6))
    strange = mask.array.astype(np.int16)
    strange[0, 0, 0] = stray
    with pytest.raises(LesionError, match=str(stray)):
        find_lesions(make_segmentation(mask.with_array(strange), None), image_of(mask), settings)


def test_findings_are_frozen(scene, settings):
    findings = scene().findings(((30, 30, 30), 6), settings=settings)
    with pytest.raises(dataclasses.FrozenInstanceError):
        findings.lesions[0].volume_ml = 1.0


def test_a_lesion_has_the_mean_of_its_voxels_probability_and_what_was_nearly_outlined_is_kept(
    scene, settings, make_segmentation
):
    canvas = scene()
    mask = canvas.mask(((15, 15, 15), 6), ((45, 45, 45), 5))
    nearly = canvas.mask(((45, 15, 15), 5)).array != 0
    percent = np.where(mask.array != 0, 60, 0).astype(np.uint8)
    percent[15:] = np.where(mask.array[15:] != 0, 90, 0)
    percent[nearly] = 30
    model = dataclasses.replace(make_segmentation(mask, None), probability_percent=mask.with_array(percent))
    found = find_lesions(model, image_of(mask), settings)
    left = (mask.array[:15] != 0).sum() / found.lesions[0].voxel_count
    assert [lesion.mean_probability for lesion in found.lesions] == pytest.approx([0.9 - 0.3 * left, 0.9])
    assert set(map(tuple, found.doubtful.astype(int).tolist())) == set(map(tuple, np.argwhere(nearly).tolist()))
    read = find_lesions(make_segmentation(mask, None), image_of(mask), settings)
    assert [lesion.mean_probability for lesion in read.lesions] == [None, None]
    assert len(read.doubtful) == 0
    other = dataclasses.replace(model, probability_percent=canvas.__class__(shape=(9, 9, 9)).mask())
    with pytest.raises(GeometryError, match="lesion probability"):
        find_lesions(other, image_of(mask), settings)
