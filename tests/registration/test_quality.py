"""Quality numbers against cases with known answers."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.registration.alignment import AlignmentStatus
from trialscan.registration.candidate import Candidate, invert, settle
from trialscan.registration.ladder import identity
from trialscan.registration.quality import field_jacobian, local_correlation, organ_dice, score, warped
from trialscan.registration.resemblance import inside_correlation
from trialscan.registration.residual import residual_lengths
from trialscan.registration.scene import Scene, build_scene
from trialscan.registration.sides import MaskedScan
from trialscan.registration.verdict import Fault, content_faults, inside_faults, judge, mirror_faults, organ_faults
from trialscan.study.sections import RegistrationLimits


@pytest.fixture(scope="module")
def still(rigid_pair) -> Scene:
    scan = MaskedScan(rigid_pair.fixed, rigid_pair.fixed_mask)
    return build_scene(scan, scan, 4.0)


def shift(*offset: float) -> Candidate:
    return Candidate(np.eye(3), np.array(offset))


def test_the_same_scan_in_place_is_perfect(still):
    scores = score(still, identity(still))
    assert scores.organ_dice == 1.0
    assert scores.correlation == pytest.approx(1.0)
    assert scores.folding_percent == 0.0


def test_dice_of_a_shifted_box_is_its_overlap(still):
    box = np.zeros(still.fixed.GetSize()[::-1], dtype=np.float32)
    box[10:20, 10:20, 10:20] = 1
    mask = sitk.GetImageFromArray(box)
    mask.CopyInformation(still.fixed)
    scene = replace(still, fixed_mask=mask, moving_mask=mask)
    assert organ_dice(scene, shift(8.0, 0.0, 0.0).transform()) == pytest.approx(0.8)


def test_correlation_knows_sign_gain_and_flatness():
    rng = np.random.default_rng(0)
    a = (500 + 100 * rng.normal(size=(20, 20, 20))).astype(np.float32)
    everywhere = np.ones(a.shape, dtype=bool)
    assert local_correlation(a, 2 * a + 30, everywhere) == pytest.approx(1.0, abs=1e-6)
    assert local_correlation(a, -a, everywhere) == pytest.approx(-1.0, abs=1e-6)
    assert local_correlation(a, np.full_like(a, 7.0), everywhere) == pytest.approx(0.0, abs=1e-3)
    assert local_correlation(np.full_like(a, 7.0), a, everywhere) == 0.0


def test_jacobian_of_a_stretch_is_its_factor(still):
    size = still.fixed.GetSize()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size[::-1]), indexing="ij"), axis=-1)[..., ::-1]
    field = sitk.GetImageFromArray((index - np.asarray(size) / 2) * 4.0 * np.array([0.1, 0.0, 0.2]), isVector=True)
    field.CopyInformation(still.fixed)
    assert field_jacobian(settle(field, still), still) == pytest.approx(1.1 * 1.2, rel=0.02)
    assert (field_jacobian(None, still) == 1.0).all()


def test_settled_fields_end_in_zero_and_invert(still):
    size = still.fixed.GetSize()[::-1]
    field = sitk.GetImageFromArray(np.full((*size, 3), 5.0), isVector=True)
    field.CopyInformation(still.fixed)
    settled = settle(field, still)
    values = sitk.GetArrayFromImage(settled)
    assert np.abs(values[0]).max() == np.abs(values[:, :, -1]).max() == 0.0
    assert (values == np.round(values * 32) / 32).all()
    back = sitk.GetArrayFromImage(invert(settled))
    assert np.abs(back[values.shape[0] // 2, values.shape[1] // 2, values.shape[2] // 2] + 5.0).max() < 0.05


@pytest.mark.parametrize("offset", [0.0, 4.0, 8.0])
def test_residual_finds_a_known_shift(still, offset):
    lengths = residual_lengths(still, warped(still, shift(offset, 0.0, 0.0).transform()), still.interior())
    assert np.median(lengths) == pytest.approx(offset, abs=0.6)


def test_residual_does_not_drift_along_what_looks_the_same_everywhere(still):
    size = still.fixed.GetSize()[::-1]
    _, j, i = np.indices(size)
    rods = 500 + 300 * np.sin(i / 1.3) * np.sin(j / 1.7)
    rng = np.random.default_rng(2)
    pictures = [(rods + rng.normal(0, 20, size)).astype(np.float32) for _ in range(2)]
    image = sitk.GetImageFromArray(pictures[0])
    image.CopyInformation(still.fixed)
    lengths = residual_lengths(replace(still, fixed=image), pictures[1], still.interior())
    assert np.percentile(lengths, 95) < 2.0  # half a voxel; along the rods every shift fits alike


def test_residual_is_unknown_without_texture(still):
    flat = np.zeros(still.fixed.GetSize()[::-1], dtype=np.float32)
    assert residual_lengths(still, flat, still.interior()) is None


GOOD = {"organ_dice_after": 0.97, "organ_volume_ratio": 1.1, "overlap_percent": 100.0}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "pass"),
        ({"organ_dice_after": 0.85}, "review"),
        ({"organ_dice_after": 0.65}, "fail"),
        ({"organ_dice_after": None, "organ_volume_ratio": None}, "pass"),
        ({"organ_volume_ratio": 0.5}, "review"),
        ({"overlap_percent": 80.0}, "review"),
        ({"overlap_percent": 20.0}, "fail"),
    ],
)
def test_limits_decide(changes, status):
    assert judge(organ_faults(GOOD | changes, RegistrationLimits(), deformed=True))[0] == status


def test_failing_reasons_come_first_and_all_are_kept():
    status, notes = judge([Fault(False, "a"), *mirror_faults(2), Fault(False, "b")])
    assert status is AlignmentStatus.FAIL
    assert notes == ("the follow-up looks mirrored along its k axis", "a", "b")


def test_a_linear_alignment_may_have_a_limit_of_its_own():
    limits = RegistrationLimits(min_organ_dice=0.95, min_organ_dice_linear=0.8)
    found = {
        deformed: judge(organ_faults(GOOD | {"organ_dice_after": 0.85}, limits, deformed=deformed))[0]
        for deformed in (True, False)
    }
    assert found == {True: "review", False: "pass"}


@pytest.mark.parametrize(
    ("correlation", "residual_voxels", "kind", "status"),
    [
        (0.7, 0.2, "masked", "pass"),
        (0.7, None, "masked", "pass"),
        (0.7, 1.0, "masked", "review"),
        (0.2, 0.2, "masked", "review"),
        (0.2, 1.0, "masked", "fail"),
        (0.1, 0.2, "masked", "fail"),
        (0.48, 2.3, "linear", "review"),
        (0.43, 1.7, "linear", "fail"),
        (0.59, 0.55, "deformed", "fail"),
        (0.59, 0.2, "deformed", "pass"),
    ],
)
def test_pictures_decide(correlation, residual_voxels, kind, status):
    assert judge(content_faults(correlation, residual_voxels, kind, RegistrationLimits()))[0] == status


def test_a_protocol_may_ask_for_more_likeness():
    limits = RegistrationLimits(min_local_correlation=0.6)
    found = [judge(content_faults(c, r, "masked", limits))[0] for c, r in ((0.5, 1.0), (0.5, 0.1), (0.7, 0.1))]
    assert found == ["fail", "review", "pass"]


def test_the_inside_of_one_scan_twice_correlates_fully_and_a_shell_has_no_inside(rigid_pair):
    scan = MaskedScan(rigid_pair.fixed)
    scene = build_scene(scan, scan, 4.0)
    assert inside_correlation(scene, identity(scene)) == pytest.approx(1.0)
    assert inside_correlation(scene, shift(12.0, 0.0, 0.0)) < 0.6
    assert inside_correlation(scene, shift(400.0, 0.0, 0.0)) is None
    assert (
        inside_faults(None, shaded=False) == inside_faults(0.93, shaded=False) == inside_faults(0.65, shaded=True) == []
    )
    assert [fault.fails for fault in inside_faults(0.92, shaded=False)] == [False]
