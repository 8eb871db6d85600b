"""What cannot be aligned ends in a named status or a clear error, never in silence."""

from dataclasses import replace

import numpy as np
import pytest

from trialscan.errors import RegistrationError
from trialscan.imaging import Units, Volume, affine_from
from trialscan.phantom import Deformation, simulate_thorax
from trialscan.registration import Alignment, register
from trialscan.study.sections import RegistrationSettings

from .conftest import draw, make_pair, turned

SETTINGS = RegistrationSettings(spacing_mm=4.0, method="affine")


def align(pair, **changes) -> Alignment:
    pair = replace(pair, **changes)
    return register(
        pair.fixed, pair.moving, fixed_mask=pair.fixed_mask, moving_mask=pair.moving_mask, settings=SETTINGS
    )


def flipped(volume: Volume, axis: int) -> Volume:
    return volume.with_array(np.ascontiguousarray(np.flip(volume.array, axis)))


def test_an_empty_mask_fails_by_name(rigid_pair):
    empty = rigid_pair.moving_mask.with_array(np.zeros_like(rigid_pair.moving_mask.array))
    found = align(rigid_pair, moving_mask=empty)
    assert (found.status, found.notes) == ("fail", ("the organ mask of the follow-up is empty",))
    assert set(found.quality.values()) == {None}


def test_an_image_without_contrast_fails_by_name(rigid_pair):
    flat = rigid_pair.fixed.with_array(np.zeros_like(rigid_pair.fixed.array))
    found = align(rigid_pair, fixed=flat)
    assert (found.status, found.notes) == ("fail", ("the baseline holds no contrast",))


def test_the_same_image_twice_is_for_review(rigid_pair):
    found = align(rigid_pair, moving=rigid_pair.fixed, moving_mask=rigid_pair.fixed_mask)
    assert (found.status, found.notes) == ("review", ("the follow-up is the baseline's very image",))


@pytest.mark.parametrize("axis", [0, 2])
def test_a_mirrored_scan_fails_and_is_called_mirrored(rigid_pair, axis):
    moving, mask = (flipped(volume, axis) for volume in (rigid_pair.moving, rigid_pair.moving_mask))
    found = align(rigid_pair, moving=moving, moving_mask=mask)
    assert found.status == "fail"
    assert found.notes[0] == f"the follow-up looks mirrored along its {'ijk'[axis]} axis"


def test_another_patients_scan_fails(stranger_pair):
    found = align(stranger_pair)
    assert found.status == "fail"
    assert any("same patient?" in note for note in found.notes)


@pytest.mark.parametrize("method", ["rigid", "deformable"])
def test_another_patient_of_the_same_outline_never_passes_without_masks(method):
    """What the outline cannot tell, the inside does; with the own patient nothing is said."""
    maps = turned(4.0, (1.0, 1.0, 1.0), (5.0, 5.0, 0.0))
    settings = SETTINGS.model_copy(update={"method": method})
    own, stranger = make_pair(maps), make_pair(maps, seed=78)
    assert register(own.fixed, own.moving, settings=settings).status == "pass"
    found = register(stranger.fixed, stranger.moving, settings=settings)
    assert found.status in {"review", "fail"}
    assert any("same patient?" in note for note in found.notes)


@pytest.fixture(scope="module")
def breath():
    """A thorax 5 mm to a voxel, and the same at another depth of breath, turned and shifted."""
    moved = Deformation(breathing=-0.6, rotation_deg=(2.0, 1.0, -3.0), shift_mm=(6.0, -4.0, 8.0))
    return tuple(simulate_thorax(4, (5.0, 5.0, 5.0), lesions=(), deformation=d) for d in (Deformation(), moved))


def test_another_patients_thorax_fails_without_masks_though_a_deformation_brings_the_borders_together(breath):
    stranger = simulate_thorax(11, (5.0, 5.0, 5.0), lesions=())
    settings = RegistrationSettings(spacing_mm=5.0)
    found = register(stranger.image, breath[1].image, settings=settings)
    assert found.status == "fail"
    assert "same patient?" in found.notes[0]
    own = register(breath[0].image, breath[1].image, settings=settings)
    assert (own.status, own.notes) == ("pass", ())


def test_a_followup_whose_mask_lacks_one_lung_never_passes(breath):
    baseline, followup = breath
    one = followup.organ.array.copy()
    one[one.shape[0] // 2 :] = 0
    found = register(
        baseline.image,
        followup.image,
        fixed_mask=baseline.organ,
        moving_mask=followup.organ.with_array(one),
        settings=SETTINGS.model_copy(update={"spacing_mm": 5.0}),
    )
    assert found.status in {"review", "fail"}
    assert any("size changed" in note for note in found.notes)
    assert any("organ Dice" in note for note in found.notes)


def test_five_millimetre_slices_against_one_are_aligned_to_a_part_of_a_slice():
    """Every fifth of the follow-up's slices is the mean of five; the truth is a shift."""
    (fixed, fixed_mask), moving, mask = thin_and_thick()
    found = register(fixed, moving, fixed_mask=fixed_mask, moving_mask=mask, settings=SETTINGS)
    points = fixed.to_world(np.argwhere(fixed_mask.array > 0)[::97].astype(np.float64))
    assert found.status in {"pass", "review"}
    assert np.linalg.norm(found.to_followup(points) - points - np.array([6.0, -3.0, 4.0]), axis=1).mean() < 2.5


def thin_and_thick() -> tuple[tuple[Volume, Volume], Volume, Volume]:
    thin = affine_from((4.0, 4.0, 1.0), (-82.0, -74.0, -90.0))
    fixed, mask = draw(affine=thin, shape=(42, 38, 180))
    thick = affine_from((4.0, 4.0, 5.0), (-82.0 + 6.0, -74.0 - 3.0, -88.0 + 4.0))
    slabs = fixed.array.astype(np.float32).reshape(42, 38, 36, 5).mean(axis=3)
    organ = (mask.array.reshape(42, 38, 36, 5).mean(axis=3) > 0.5).astype(np.uint8)
    return (fixed, mask), Volume(slabs.astype(np.int16), thick, Units.HU), Volume(organ, thick, Units.LABEL)


def test_half_an_organ_is_for_review_or_fails(rigid_pair):
    half = rigid_pair.moving_mask.array.copy()
    half[21:] = 0
    found = align(rigid_pair, moving_mask=rigid_pair.moving_mask.with_array(half))
    assert found.status in {"review", "fail"}
    assert any("size changed" in note for note in found.notes)


def test_a_cropped_followup_tells_what_it_does_not_show(rigid_pair):
    cut = slice(None), slice(None), slice(0, 20)
    moving, mask = (
        Volume(np.ascontiguousarray(volume.array[cut]), volume.affine, volume.units)
        for volume in (rigid_pair.moving, rigid_pair.moving_mask)
    )
    found = align(rigid_pair, moving=moving, moving_mask=mask)
    assert found.status in {"review", "fail"}
    assert found.quality["overlap_percent"] < 95


def test_scans_of_different_parts_of_the_organ_never_pass(rigid_pair):
    def part(volume: Volume, first: int, last: int) -> Volume:
        affine = volume.affine.copy()
        affine[:3, 3] = volume.to_world(np.array([[0.0, 0.0, float(first)]]))[0]
        return Volume(np.ascontiguousarray(volume.array[:, :, first:last]), affine, volume.units)

    upper = {name: part(getattr(rigid_pair, name), 23, 46) for name in ("fixed", "fixed_mask")}
    lower = {name: part(getattr(rigid_pair, name), 0, 21) for name in ("moving", "moving_mask")}
    found = align(rigid_pair, **upper, **lower)
    assert found.status == "fail"
    assert any("same patient?" in note or "field of view" in note for note in found.notes)


def test_without_masks_no_overlap_fails_too(rigid_pair):
    away = rigid_pair.moving.affine.copy()
    away[:3, 3] += 5000.0
    noise = np.random.default_rng(0).integers(-1000, 0, rigid_pair.moving.shape).astype(np.int16)
    found = align(rigid_pair, moving=Volume(noise, away, Units.HU), moving_mask=None)
    assert found.status == "fail"


def test_planar_against_volume_names_both(rigid_pair, planar_pair):
    with pytest.raises(RegistrationError, match=r"planar image of shape .* a volume of shape"):
        align(rigid_pair, fixed=replace(planar_pair.fixed, units=Units.HU), fixed_mask=None)


def test_other_units_are_refused(rigid_pair):
    with pytest.raises(RegistrationError, match="baseline in HU, follow-up in SUV"):
        align(rigid_pair, moving=replace(rigid_pair.moving, units=Units.SUV))


def test_a_mask_on_another_grid_is_refused(rigid_pair):
    stray = replace(rigid_pair.fixed_mask, affine=affine_from((4.0, 4.0, 4.0)))
    with pytest.raises(RegistrationError, match="organ mask of the baseline"):
        align(rigid_pair, fixed_mask=stray)


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_a_stack_of_few_slices_ends_in_a_status(rigid_pair, slices):
    def few(volume: Volume) -> Volume:
        return Volume(np.ascontiguousarray(volume.array[:, :, 20 : 20 + slices]), volume.affine, volume.units)

    found = register(
        few(rigid_pair.fixed),
        few(rigid_pair.moving),
        fixed_mask=few(rigid_pair.fixed_mask),
        moving_mask=few(rigid_pair.moving_mask),
        settings=RegistrationSettings(spacing_mm=4.0),
    )
    assert found.status in {"pass", "review", "fail"}
    assert np.isfinite(found.to_followup(np.zeros((1, 3)))).all()


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((2, 2)), np.full((1, 3), np.nan)])
def test_points_of_another_shape_are_refused(rigid_pair, points):
    found = align(rigid_pair)
    with pytest.raises(RegistrationError, match="points"):
        found.to_followup(points)
