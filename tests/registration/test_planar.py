"""Pictures without millimetres and single slices are aligned within their plane."""

from dataclasses import replace

import numpy as np

from trialscan.imaging import Units, Volume, affine_from, read_mask, read_volume
from trialscan.registration import register, resample_to_baseline
from trialscan.study.sections import RegistrationSettings


def align(pair, method="affine"):
    return register(
        pair.fixed,
        pair.moving,
        fixed_mask=pair.fixed_mask,
        moving_mask=pair.moving_mask,
        settings=RegistrationSettings(method=method),
    )


def test_pictures_of_other_size_are_brought_together(planar_pair):
    found = align(planar_pair)
    assert found.status == "pass"
    assert [rung.name for rung in found.rungs] == ["start", "similarity", "affine"]
    assert planar_pair.error(found.to_followup(planar_pair.points)).mean() < 1.5  # pixels of the follow-up
    assert found.quality["estimated_error_mm_p95"] is None
    assert found.quality["inverse_error_mm_p95"] is None
    assert found.quality["organ_volume_ratio"] is None


def test_planar_images_stop_at_affine(planar_pair):
    assert [rung.name for rung in align(planar_pair, "deformable").rungs][-1] == "affine"


def test_a_mirrored_picture_fails(planar_pair):
    moving, mask = (
        volume.with_array(np.ascontiguousarray(volume.array[::-1]))
        for volume in (planar_pair.moving, planar_pair.moving_mask)
    )
    found = align(replace(planar_pair, moving=moving, moving_mask=mask))
    assert found.status == "fail"
    assert "mirrored along its i axis" in found.notes[0]


def test_a_slice_keeps_its_distance_from_the_plane(planar_pair):
    turn = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
    planes = [affine_from((0.9, 0.9, 5.0), (10.0, offset, 30.0), turn) for offset in (-40.0, -62.0)]

    def placed(volume: Volume, affine: np.ndarray) -> Volume:
        return Volume(volume.array, affine, volume.units)

    pair = replace(
        planar_pair,
        fixed=placed(planar_pair.fixed, planes[0]),
        moving=placed(planar_pair.fixed.with_array(np.roll(planar_pair.fixed.array, 6, axis=0)), planes[1]),
        fixed_mask=placed(planar_pair.fixed_mask, planes[0]),
        moving_mask=placed(
            planar_pair.fixed_mask.with_array(np.roll(planar_pair.fixed_mask.array, 6, axis=0)), planes[1]
        ),
    )
    found = align(pair, "rigid")
    points = pair.fixed.to_world(np.array([[60.0, 70.0, 0.0], [60.0, 70.0, 2.0]]))
    expected = pair.moving.to_world(np.array([[66.0, 70.0, 0.0], [66.0, 70.0, 2.0]]))
    assert np.abs(found.to_followup(points) - expected).max() < 0.3
    assert np.allclose(found.to_baseline(found.to_followup(points)), points, atol=1e-9)


def test_a_followup_picture_is_drawn_on_the_baselines(planar_pair):
    found = align(planar_pair)
    drawn = resample_to_baseline(planar_pair.moving, found, planar_pair.fixed, labels=False)
    assert drawn.shape == planar_pair.fixed.shape
    assert not drawn.spacing_known
    organ = planar_pair.fixed_mask.array > 0
    assert np.corrcoef(drawn.array[organ], planar_pair.fixed.array[organ])[0, 1] > 0.9


def test_real_radiographs_of_one_patient(real_data):
    folder = real_data / "chest_xray"
    names = "p004_58508340", "p004_158a5220"
    images = [read_volume(folder / "images" / f"{name}.jpeg", Units.INTENSITY) for name in names]
    masks = [read_mask(folder / "lung_masks" / f"{name}.png", image) for name, image in zip(names, images, strict=True)]
    found = register(*images, fixed_mask=masks[0], moving_mask=masks[1], settings=RegistrationSettings(method="affine"))
    assert found.status == "pass"
    assert found.quality["organ_dice_after"] > 0.93
