"""Surface distances against closed forms and values of the package surface-distance."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_surface_dice

from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import compare_masks
from trialscan.segmentation.surface import surface_distances


def ball(centre, radius, spacing, shape):
    """The voxels whose centres lie in a ball; lengths in mm."""
    steps = [(np.arange(n) * s - c) ** 2 for n, s, c in zip(shape, spacing, centre, strict=True)]
    return steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :] < radius**2


def volume(mask, spacing, **options):
    return Volume(mask.astype(np.uint8), affine_from(spacing), Units.LABEL, **options)


RADIUS, GAP, TOLERANCE = 18.0, 6.0, 2.0


def shifted_balls(spacing):
    shape = tuple(int(50 / s) for s in spacing)
    return compare_masks(*(volume(ball((22 + shift, 25, 25), RADIUS, spacing, shape), spacing) for shift in (0, GAP)))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5), (0.8, 1.6, 0.5)])
def test_balls_apart_near_the_closed_forms_of_spheres_as_voxels_get_smaller(spacing):
    # A point at the angle with cosine c lies |√(R² + d² − 2Rdc) − R| from the other sphere, and c is uniform.
    distances = np.abs(np.sqrt(RADIUS**2 + GAP**2 - 2 * RADIUS * GAP * np.linspace(-1, 1, 20001)) - RADIUS)
    truth = {
        "surface_dice_2mm": (distances <= TOLERANCE).mean(),
        "mean_surface_distance_mm": distances.mean(),
        "hd95_mm": np.percentile(distances, 95),
        "dice": (2 * RADIUS - GAP) ** 2 * (GAP**2 + 4 * GAP * RADIUS) / (16 * GAP * RADIUS**3),
    }
    coarse, fine = shifted_balls(spacing), shifted_balls(tuple(step / 2 for step in spacing))
    for name in ("surface_dice_2mm", "mean_surface_distance_mm", "hd95_mm"):
        assert abs(fine[name] - truth[name]) < abs(coarse[name] - truth[name])
    assert fine["surface_dice_2mm"] == pytest.approx(truth["surface_dice_2mm"], abs=0.07)
    assert fine["mean_surface_distance_mm"] == pytest.approx(truth["mean_surface_distance_mm"], abs=0.35)
    assert fine["hd95_mm"] == pytest.approx(truth["hd95_mm"], abs=0.3)
    assert fine["dice"] == pytest.approx(truth["dice"], abs=0.003)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.9, 2.0)])
def test_concentric_balls_are_their_radii_apart(spacing):
    shape = tuple(int(44 / s) for s in spacing)
    inner, outer = (volume(ball((21, 21, 21), radius, spacing, shape), spacing) for radius in (15, 18))
    found = compare_masks(inner, outer)
    assert found["mean_surface_distance_mm"] == pytest.approx(3, abs=np.mean(spacing) / 2)
    assert found["hd95_mm"] == pytest.approx(3, abs=max(spacing) / 2)
    assert found["difference_percent"] == pytest.approx(100 * ((15 / 18) ** 3 - 1), abs=1.0)
    assert found["reference_ml"] == pytest.approx(4 / 3 * np.pi * 1.8**3, rel=0.01)


@pytest.mark.parametrize("spacing", [(0.5, 2.0, 1.0), (3.0, 1.0, 1.0)])
def test_the_area_of_a_block_is_that_of_its_sides_less_the_bevelled_edges(spacing):
    block = np.zeros((40, 30, 24), bool)
    block[5:35, 5:25, 4:20] = True
    found = surface_distances(block, block, np.diag(spacing))
    sides = np.array((30, 20, 16)) * spacing
    area = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[0] * sides[2])
    assert found.reference_area.sum() == pytest.approx(area, rel=0.05)
    assert found.reference_area.sum() < area


def test_two_voxels_two_steps_apart_as_in_the_tests_of_surface_distance():
    first, second = np.zeros((2, 8, 8, 8), bool)
    first[3, 3, 3], second[3, 3, 5] = True, True
    found = surface_distances(second, first, np.diag([3.0, 2.0, 1.0]))
    assert (found.mean, found.percentile(95), found.share_within(1)) == pytest.approx((1.5, 2.0, 0.5))
    planar = surface_distances(second[3], first[3], np.eye(3)[:, 1:] * [2.0, 1.0])
    assert (planar.mean, planar.percentile(100), planar.share_within(1)) == pytest.approx((1.5, 2.0, 0.5))
    assert planar.reference_area == pytest.approx([np.sqrt(5) / 2] * 4)


def test_blocks_one_step_apart_as_in_the_tests_of_surface_distance():
    first, second = np.zeros((2, 100, 100, 100), bool)
    first[:50], second[:51] = True, True
    found = surface_distances(second, first, np.diag([2.0, 1.0, 1.0]))
    to_predicted = found.to_predicted @ found.reference_area / found.reference_area.sum()
    to_reference = found.to_reference @ found.predicted_area / found.predicted_area.sum()
    assert (to_predicted, to_reference) == pytest.approx((0.322, 0.339), abs=5e-4)
    assert found.share_within(1) == pytest.approx(0.836, abs=5e-4)
    assert found.percentile(95) == 2


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI 1.6 warns of its own argument
@pytest.mark.parametrize("spacing", [(0.7, 0.8, 2.5), (3.0, 2.0, 1.0)])
def test_rugged_masks_have_monais_dice_and_surface_dice_by_subvoxels(spacing):
    rng = np.random.default_rng(3)
    first, second = np.zeros((2, 16, 17, 18), bool)
    first[2:-2, 2:-2, 2:-2] = rng.random((12, 13, 14)) < 0.1
    second[2:-2, 2:-2, 2:-2] = rng.random((12, 13, 14)) < 0.1
    masks = [torch.from_numpy(np.stack([~mask, mask])[None].astype(np.float32)) for mask in (first, second)]
    expected = compute_surface_dice(*masks, [1.0], spacing=spacing, use_subvoxels=True).item()
    assert surface_distances(first, second, np.diag(spacing)).share_within(1.0) == pytest.approx(expected, rel=1e-6)
    assert 0.1 < expected < 0.999
    dice = compare_masks(volume(first, spacing), volume(second, spacing))["dice"]
    assert dice == pytest.approx(compute_dice(*masks, include_background=False).item(), rel=1e-6)


def test_a_distance_that_equals_the_tolerance_is_within_whatever_the_header_rounds():
    first, second = np.zeros((2, 12, 3, 3), bool)
    first[2:4], second[7:9] = True, True
    spacing = float(np.float32(0.4))  # 0.4000000059604645: five steps are 2.00000003 mm
    assert 5 * spacing > 2
    found = surface_distances(first, second, np.diag([spacing, 1.0, 1.0]))
    assert found.share_within(2.0) > 0.5


def test_a_lesion_in_one_slice_of_a_volume_is_no_planar_image():
    mask = np.zeros((12, 12, 9), bool)
    mask[4:8, 4:8, 4] = True
    moved = np.roll(mask, 1, axis=2)
    found = compare_masks(volume(moved, (1.0, 1.0, 3.0)), volume(mask, (1.0, 1.0, 3.0)))
    assert found["hd95_mm"] == 3
    assert compare_masks(volume(mask, (1, 1, 3.0)), volume(mask, (1, 1, 3.0)))["surface_dice_2mm"] == 1


def test_turning_the_grid_changes_nothing():
    spacing = (0.9, 1.1, 2.0)
    masks = [ball((14, 14, 14 + shift), 8, spacing, (32, 26, 16)) for shift in (0, 3)]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    straight = compare_masks(*(volume(mask, spacing) for mask in masks))
    oblique = compare_masks(
        *(Volume(m.astype(np.uint8), affine_from(spacing, (5.0, -3.0, 9.0), turn), Units.LABEL) for m in masks)
    )
    known = {name: value for name, value in straight.items() if value is not None}
    assert {name: oblique[name] for name in known} == pytest.approx(known, rel=1e-9)
    assert set(known) == {name for name, value in oblique.items() if value is not None}
