import numpy as np
import pytest

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import Units, Volume, affine_from, resample


def ramp(affine: np.ndarray, shape: tuple[int, int, int] = (20, 24, 16)) -> Volume:
    """Intensity 2x − 3y + 5z + 7 of the world position: linear interpolation has to reproduce it."""
    blank = Volume(np.zeros(shape), affine, Units.HU)
    world = blank.to_world(np.argwhere(np.ones(shape)).astype(float))
    return blank.with_array((world @ [2.0, -3.0, 5.0] + 7.0).reshape(shape))


def inner(volume: Volume) -> tuple[slice, ...]:
    return tuple(slice(2, max(3, n - 2)) for n in volume.shape)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 2.5, 1.2), (3.0, 3.0, 3.0)])
def test_a_linear_field_is_reproduced(awkward: Volume, spacing: float):
    moved = resample(ramp(awkward.affine, (20, 24, 16)), spacing_mm=spacing)
    expected = ramp(moved.affine, moved.shape)
    np.testing.assert_allclose(moved.array[inner(moved)], expected.array[inner(moved)], atol=0.05)
    np.testing.assert_allclose(moved.spacing_mm, spacing)
    assert moved.array.dtype == np.float32


def test_outer_corner_and_extent_are_kept(awkward: Volume):
    source = ramp(awkward.affine)
    moved = resample(source, spacing_mm=(1.3, 1.3, 1.3))
    corner = np.array([[-0.5, -0.5, -0.5]])
    np.testing.assert_allclose(moved.to_world(corner), source.to_world(corner), atol=1e-9)
    extent = np.multiply(source.shape, source.spacing_mm)
    assert (np.abs(np.multiply(moved.shape, 1.3) - extent) <= 0.65 + 1e-9).all()


def test_like_gives_its_exact_grid(awkward: Volume):
    source = ramp(np.diag([1.0, 1.0, 1.0, 1.0]), (200, 200, 60))
    target = Volume(np.zeros((9, 8, 7)), affine_from((2.0, 2.0, 2.0), (60.0, 70.0, 20.0), awkward.direction), Units.HU)
    moved = resample(source, like=target)
    np.testing.assert_array_equal(moved.affine, target.affine)
    inside = np.all((source.to_index(target.to_world(np.argwhere(np.ones(target.shape)).astype(float))) > 3), axis=1)
    inside &= np.all(
        source.to_index(target.to_world(np.argwhere(np.ones(target.shape)).astype(float))) < [196, 196, 56], axis=1
    )
    expected = ramp(target.affine, target.shape).array.ravel()
    assert inside.sum() > 20
    np.testing.assert_allclose(moved.array.ravel()[inside], expected[inside], atol=0.05)


def test_outside_is_the_lowest_value_or_the_given_one():
    source = Volume(np.full((4, 4, 4), 10, np.int16), np.eye(4), Units.HU)
    source.array[0, 0, 0] = -50
    far = Volume(np.zeros((2, 2, 2)), affine_from((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)), Units.HU)
    assert (resample(source, like=far).array == -50).all()
    assert (resample(source, like=far, fill=-1024).array == -1024).all()


def test_labels_keep_their_type_and_values():
    labels = Volume(np.zeros((9, 9, 9), np.uint8), np.eye(4), Units.LABEL)
    labels.array[3:6, 3:6, 3:6] = 7
    moved = resample(labels, spacing_mm=(0.5, 0.5, 0.5), order=0)
    assert moved.array.dtype == np.uint8
    assert set(np.unique(moved.array)) == {0, 7}
    assert (moved.array == 7).sum() == 27 * 8
    with pytest.raises(ImagingError, match="label"):
        resample(labels, spacing_mm=(0.5, 0.5, 0.5), order=1)


def test_fine_stripes_do_not_alias_when_made_coarse():
    stripes = np.zeros((64, 8, 8), np.float32)
    stripes[::2] = 100.0
    moved = resample(Volume(stripes, np.eye(4), Units.INTENSITY), spacing_mm=(4.0, 1.0, 1.0))
    np.testing.assert_allclose(moved.array[2:-2], 50.0, atol=1.0)


def test_mean_is_kept_when_made_coarse():
    noise = np.random.default_rng(0).normal(0, 1, (48, 48, 48)).astype(np.float32)
    moved = resample(Volume(noise, np.eye(4), Units.INTENSITY), spacing_mm=(3.0, 3.0, 3.0))
    assert abs(float(moved.array.mean()) - float(noise.mean())) < 0.01
    assert float(moved.array.std()) < 0.25


def test_a_planar_image_keeps_its_slice():
    planar = Volume(np.ones((20, 20, 1)), affine_from((0.5, 0.5, 5.0)), Units.HU)
    moved = resample(planar, spacing_mm=(1.0, 1.0, 1.0))
    assert moved.shape == (10, 10, 1)
    assert moved.spacing_mm == (1.0, 1.0, 5.0)
    np.testing.assert_allclose(moved.array, 1.0)


def test_pixels_and_millimetres_do_not_mix():
    picture = Volume(np.ones((4, 4, 1)), np.eye(4), Units.INTENSITY, spacing_known=False)
    known = Volume(np.ones((4, 4, 1)), np.eye(4), Units.INTENSITY)
    with pytest.raises(GeometryError, match="without pixel spacing"):
        resample(picture, spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(GeometryError, match="one in pixels"):
        resample(picture, like=known)


def test_refuses_targets_that_are_none():
    volume = Volume(np.ones((4, 4, 4)), np.eye(4), Units.HU)
    with pytest.raises(ImagingError, match="neither"):
        resample(volume)
    with pytest.raises(ImagingError, match="both"):
        resample(volume, spacing_mm=(1.0, 1.0, 1.0), like=volume)
    with pytest.raises(ImagingError, match="positive"):
        resample(volume, spacing_mm=(1.0, 0.0, 1.0))
    with pytest.raises(ImagingError, match="order 3"):
        resample(volume, spacing_mm=(1.0, 1.0, 1.0), order=3)
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    with pytest.raises(GeometryError, match="right angles"):
        resample(volume, like=Volume(volume.array, sheared, Units.HU))
