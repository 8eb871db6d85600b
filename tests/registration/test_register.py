"""Known maps are found again, in the right direction, and the result is the same to the byte."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.imaging import Units, Volume, affine_from, read_mask, read_volume
from trialscan.phantom import Deformation, simulate_thorax
from trialscan.registration import Alignment, register, write_alignment
from trialscan.study.sections import RegistrationSettings

from .conftest import Pair, bent, make_pair


def align(pair: Pair, masks: bool = True, **settings: object) -> Alignment:
    chosen = RegistrationSettings.model_validate({"spacing_mm": 4.0} | settings)
    return register(
        pair.fixed,
        pair.moving,
        fixed_mask=pair.fixed_mask if masks else None,
        moving_mask=pair.moving_mask if masks else None,
        settings=chosen,
    )


@pytest.mark.parametrize("masks", [True, False])
def test_rigid_motion_is_found_in_the_direction_baseline_to_followup(rigid_pair, masks):
    found = align(rigid_pair, masks, method="rigid")
    assert (found.rung, found.engine) == ("rigid", "simpleitk")
    assert found.status == "pass" if masks else "field of view" in found.notes[0]
    assert np.percentile(rigid_pair.error(found.to_followup(rigid_pair.points)), 95) < 1.0
    there = rigid_pair.truth(rigid_pair.points)
    assert np.abs(found.to_baseline(there) - rigid_pair.points).max() < 2.0
    matrix = np.reshape(found.transform.GetNthTransform(0).Downcast().GetMatrix(), (3, 3))
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)


def test_affine_motion_is_found(affine_pair):
    found = align(affine_pair, method="affine")
    assert (found.status, found.rung) == ("pass", "affine")
    assert np.percentile(affine_pair.error(found.to_followup(affine_pair.points)), 95) < 1.6  # 0.4 voxels
    assert found.quality["jacobian_mean"] == pytest.approx(1.08 * 0.94 * 1.1, rel=0.03)
    assert found.quality["organ_volume_ratio"] == pytest.approx(1.08 * 0.94 * 1.1, rel=0.03)


def test_deformation_is_found_without_folding_and_can_be_undone(bent_pair, bent_alignment):
    linear = align(bent_pair, method="affine")
    found = bent_alignment
    assert (found.status, found.rung) == ("pass", "deformable")
    error = bent_pair.error(found.to_followup(bent_pair.points))
    assert error.mean() < 0.6 * bent_pair.error(linear.to_followup(bent_pair.points)).mean()
    assert error.mean() < 2.0  # half a voxel
    assert found.quality["folding_percent"] == 0.0
    assert found.quality["jacobian_min"] > 0.0
    assert found.quality["inverse_error_mm_p95"] < 0.2
    back = found.to_baseline(found.to_followup(bent_pair.points))
    assert np.percentile(np.linalg.norm(back - bent_pair.points, axis=1), 95) < 0.2


def test_quality_before_and_after_and_every_rung_is_recorded(bent_alignment):
    found = bent_alignment
    assert [rung.name for rung in found.rungs] == ["start", "rigid", "affine", "deformable"]
    assert all(rung.kept or rung.reason for rung in found.rungs)
    assert found.quality["organ_dice_after"] > found.quality["organ_dice_before"]
    assert found.quality["local_correlation_after"] > found.quality["local_correlation_before"]
    assert 0 < found.quality["estimated_error_mm_p50"] <= found.quality["estimated_error_mm_p95"] < 8.0


def test_the_other_way_round_tells_how_far_two_alignments_disagree(affine_pair):
    found = align(affine_pair, method="affine", check_backwards=True)
    once = align(affine_pair, method="affine")
    back = align(
        Pair(affine_pair.moving, affine_pair.fixed, affine_pair.moving_mask, affine_pair.fixed_mask, affine_pair.truth),
        method="affine",
    )
    apart = np.linalg.norm(back.to_followup(found.to_followup(affine_pair.points)) - affine_pair.points, axis=1)
    assert found.quality["forward_backward_mm_p50"] == pytest.approx(np.median(apart), abs=0.1)
    assert 0 < found.quality["forward_backward_mm_p50"] < found.quality["forward_backward_mm_p95"] < 2.0
    assert once.quality["forward_backward_mm_p95"] is None
    assert np.array_equal(found.to_followup(affine_pair.points), once.to_followup(affine_pair.points))


def test_two_runs_give_the_same_bytes_and_leave_the_scans_alone(bent_pair, bent_alignment, tmp_path):
    before = bent_pair.fixed.array.copy(), bent_pair.moving.array.copy()
    write_alignment(bent_alignment, tmp_path / "a")
    write_alignment(align(bent_pair), tmp_path / "b")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 4
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    assert np.array_equal(before[0], bent_pair.fixed.array)
    assert np.array_equal(before[1], bent_pair.moving.array)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_bit(bent_pair, bent_alignment, threads):
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    try:
        found = align(bent_pair)
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert np.array_equal(found.to_followup(bent_pair.points), bent_alignment.to_followup(bent_pair.points))
    assert found.quality == bent_alignment.quality


def test_an_alignment_survives_pickling(bent_pair, bent_alignment):
    found = bent_alignment
    again = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own bytes
    assert np.array_equal(again.to_followup(bent_pair.points), found.to_followup(bent_pair.points))
    assert (again.status, again.rungs, again.quality) == (found.status, found.rungs, found.quality)


def test_an_oblique_flipped_followup_grid_changes_nothing(bent_pair):
    angle = np.deg2rad(20)
    direction = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, -1.0]])
    corner = -direction @ (np.array([41, 37, 45]) * 2.0)
    pair = make_pair(bent(4.0), affine=affine_from((4.0, 4.0, 4.0), tuple(corner), direction))
    found = align(pair)
    assert found.status == "pass"
    assert pair.error(found.to_followup(pair.points)).mean() < 2.0


def test_method_none_maps_every_point_to_itself(bent_pair):
    found = align(bent_pair, method="none")
    assert (found.status, found.rung, found.rungs) == ("pass", "none", ())
    assert np.array_equal(found.to_followup(bent_pair.points), bent_pair.points)


def test_not_a_number_in_a_scan_is_no_obstacle(rigid_pair):
    array = rigid_pair.moving.array.astype(np.float32)
    array[:2] = np.nan
    found = align(replace(rigid_pair, moving=rigid_pair.moving.with_array(array)), method="rigid")
    assert found.status == "pass"
    assert np.median(rigid_pair.error(found.to_followup(rigid_pair.points))) < 1.0


def test_a_simulated_breath_is_followed():
    baseline = simulate_thorax(4, (5.0, 5.0, 5.0), lesions=())
    breath = Deformation(breathing=-0.6, rotation_deg=(2.0, 1.0, -3.0), shift_mm=(6.0, -4.0, 8.0))
    followup = simulate_thorax(4, (5.0, 5.0, 5.0), lesions=(), deformation=breath)

    def truth(points):
        return breath.to_scan(baseline.deformation.to_reference(points))

    pair = Pair(baseline.image, followup.image, baseline.organ, followup.organ, truth)
    found = align(pair, spacing_mm=5.0)
    assert (found.status, found.rung) == ("pass", "deformable")
    assert pair.error(found.to_followup(pair.points)).mean() < 2.0


def test_real_landmarks_come_home(real_data: Path):
    folder = real_data / "lung_ct_pair"
    fixed, moving = (read_volume(folder / f"{name}.mha", Units.HU) for name in ("baseline", "followup"))
    masks = read_mask(folder / "baseline_lung_mask.mha", fixed), read_mask(folder / "followup_lung_mask.mha", moving)
    settings = RegistrationSettings(engine="simpleitk", spacing_mm=2.5)
    found = register(fixed, moving, fixed_mask=masks[0], moving_mask=masks[1], settings=settings)
    table = np.loadtxt(folder / "landmarks_lps_mm.csv", delimiter=",", skiprows=1)
    table = table[table[:, 0] != 20]  # twelve millimetres off with every method known
    error = np.linalg.norm(found.to_followup(table[:, 1:4]) - table[:, 4:7], axis=1)
    assert found.status == "pass"
    assert error.mean() < 1.5
    assert np.median(error) < 1.3
    assert found.quality["folding_percent"] == 0.0


def test_anisotropic_scans_of_different_slice_thickness(bent_pair):
    thick = affine_from((4.0, 4.0, 8.0), (-82.0, -74.0, -88.0))
    moving = Volume((bent_pair.moving.array[:, :, ::2] // 2 + bent_pair.moving.array[:, :, 1::2] // 2), thick, Units.HU)
    mask = Volume(bent_pair.moving_mask.array[:, :, ::2], thick, Units.LABEL)
    found = align(replace(bent_pair, moving=moving, moving_mask=mask))
    assert found.status in {"pass", "review"}
    assert bent_pair.error(found.to_followup(bent_pair.points)).mean() < 3.0
