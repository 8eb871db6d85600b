"""Distance from the organ's border, side and mass, against shapes whose answers are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree

from trialscan.imaging import Units
from trialscan.lesions import find_lesions
from trialscan.lesions.organ import least_distance
from trialscan.study.sections import LesionSettings

ANY = LesionSettings(minimum_ml=0.01)
CENTRE = (30.0, 30.0, 30.0)


def measured(make_segmentation, lesions, organ, hu=-500.0):
    image = lesions.with_array(np.full(lesions.shape, hu, np.float32), Units.HU)
    return find_lesions(make_segmentation(lesions, organ), image, ANY).lesions


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.5), (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize(("offset_mm", "radius_mm"), [(0.0, 5.0), (8.0, 5.0), (12.0, 4.0)])
def test_a_ball_in_a_ball_is_as_far_from_the_border_as_geometry_says(
    scene, make_segmentation, oblique, spacing, tilted, offset_mm, radius_mm
):
    shape = tuple(int(60 / edge) + 1 for edge in spacing)
    direction = oblique if tilted else np.eye(3)
    canvas = scene(shape, spacing, tuple(np.array(CENTRE) - direction @ np.full(3, 30.0)), direction)
    centre = tuple(np.add(CENTRE, (offset_mm, 0.0, 0.0)))
    (lesion,) = measured(make_segmentation, canvas.mask((centre, radius_mm)), canvas.mask((CENTRE, 24.0)))
    gap = 24.0 - offset_mm - radius_mm
    assert lesion.surface_distance_mm == pytest.approx(gap, abs=1.1 * max(spacing))


def test_a_lesion_at_the_border_or_beyond_it_touches(scene, make_segmentation):
    canvas = scene()
    organ = canvas.mask((CENTRE, 20.0))
    for offset in (16.0, 20.0, 24.0):
        (lesion,) = measured(make_segmentation, canvas.mask(((30.0 + offset, 30.0, 30.0), 4.0)), organ)
        assert lesion.surface_distance_mm == 0


def test_cavities_and_the_edge_of_the_scan_are_no_border(scene, make_segmentation):
    canvas = scene()
    everything = np.ones((60, 60, 60), np.uint8)
    lesions = canvas.mask((CENTRE, 4.0))
    (cut,) = measured(make_segmentation, lesions, lesions.with_array(everything))
    assert cut.surface_distance_mm is None
    hollow = canvas.mask((CENTRE, 24.0))
    hole = canvas.mask(((38.0, 30.0, 30.0), 3.0))
    holed = hollow.with_array(np.where(hole.array > 0, 0, hollow.array).astype(np.uint8))
    (lesion,) = measured(make_segmentation, lesions, holed)
    assert lesion.surface_distance_mm == pytest.approx(20, abs=1)
    (alone,) = measured(make_segmentation, lesions, None)
    assert (alone.surface_distance_mm, alone.side) == (None, "")
    (empty,) = measured(make_segmentation, lesions, lesions.with_array(np.zeros((60, 60, 60), np.uint8)))
    assert (empty.surface_distance_mm, empty.side) == (None, "")


RIGHT, LEFT = ((15.0, 30.0, 30.0), 11.0), ((45.0, 30.0, 30.0), 11.0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_sides_of_a_paired_organ_are_the_patients(scene, make_segmentation, mirrored):
    direction = np.diag([-1.0, 1.0, 1.0]) if mirrored else np.eye(3)
    canvas = scene(origin=(59.0, 0.0, 0.0) if mirrored else (0.0, 0.0, 0.0), direction=direction)
    lungs = canvas.mask(RIGHT, LEFT)
    lesions = canvas.mask((LEFT[0], 4.0), (RIGHT[0], 3.0), ((30.0, 50.0, 30.0), 2.5))
    assert [lesion.side for lesion in measured(make_segmentation, lesions, lungs)] == ["left", "right", ""]


def test_one_organ_has_no_sides_unless_its_mask_has_two_labels(scene, make_segmentation):
    canvas = scene()
    lesions = canvas.mask((LEFT[0], 4.0))
    joined = canvas.mask(((18.0, 30.0, 30.0), 14.0), ((42.0, 30.0, 30.0), 14.0))
    (lesion,) = measured(make_segmentation, lesions, joined)
    assert lesion.side == ""
    halves = joined.array.copy()
    halves[30:][halves[30:] > 0] = 2
    (lesion,) = measured(make_segmentation, lesions, joined.with_array(halves))
    assert lesion.side == "left"
    stacked = canvas.mask(((30.0, 30.0, 15.0), 11.0), ((30.0, 30.0, 45.0), 11.0))
    (lesion,) = measured(make_segmentation, canvas.mask(((30.0, 30.0, 15.0), 4.0)), stacked)
    assert lesion.side == ""


@pytest.mark.parametrize(("hu", "g_per_ml"), [(-1000, 0.0), (-500, 0.5), (0, 1.0), (50, 1.05), (-1024, 0.0)])
def test_mass_is_that_of_water_air_and_between(scene, make_segmentation, hu, g_per_ml):
    canvas = scene(spacing=(0.7, 0.7, 1.25), shape=(60, 60, 40))
    (lesion,) = measured(make_segmentation, canvas.mask(((20.0, 20.0, 25.0), 8.0)), None, hu)
    assert lesion.mass_g == pytest.approx(g_per_ml * lesion.volume_ml)


def test_percentiles_are_of_finite_voxels_and_mass_needs_hounsfield_units(scene, make_segmentation):
    lesions = scene().mask((CENTRE, 6.0))
    values = np.random.default_rng(1).permutation(int((lesions.array > 0).sum())).astype(np.float32)
    image = lesions.with_array(np.zeros(lesions.shape, np.float32), Units.INTENSITY)
    image.array[lesions.array > 0] = values
    (lesion,) = find_lesions(make_segmentation(lesions, None), image, ANY).lesions
    last = len(values) - 1
    quantiles = (lesion.intensity_p10, lesion.intensity_p50, lesion.intensity_p90)
    assert quantiles == pytest.approx((0.1 * last, 0.5 * last, 0.9 * last))
    assert lesion.mass_g is None
    image.array[lesions.array > 0] = np.nan
    (blank,) = find_lesions(make_segmentation(lesions, None), replace(image, units=Units.HU), ANY).lesions
    assert blank.intensity_p50 is blank.mass_g is blank.mean_intensity is None


@pytest.mark.parametrize("number", [1, 63, 64, 65, 3000])
@pytest.mark.parametrize("away", [0.0, 3.0, 80.0])
def test_theleast_distance_is_that_of_all_points(number, away):
    """To the last bit, for lesions of one voxel and of many, in the middle of a shell and far from it."""
    rng = np.random.default_rng(number)
    shell = rng.normal(size=(4000, 3))
    tree = KDTree(50 * shell / np.linalg.norm(shell, axis=1, keepdims=True))
    points = rng.uniform(-8, 8, (number, 3)) + np.array([away, 0, 0])
    assert least_distance(tree, points) == tree.query(points)[0].min()
