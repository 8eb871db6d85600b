import pickle

import numpy as np
import pytest

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import Units, Volume, affine_from


def test_voxel_volume_and_spacing_of_any_grid(awkward: Volume):
    edges = awkward.spacing_mm
    assert awkward.voxel_ml == pytest.approx(np.prod(edges) / 1000)
    np.testing.assert_allclose(awkward.direction.T @ awkward.direction, np.eye(3), atol=1e-12)


def test_world_and_index_are_inverse(awkward: Volume):
    indices = np.array([[0.0, 0.0, 0.0], [4.0, 5.0, 6.0], [1.5, -2.0, 3.25]])
    np.testing.assert_allclose(awkward.to_index(awkward.to_world(indices)), indices, atol=1e-10)


def test_world_of_a_known_voxel():
    volume = Volume(np.zeros((3, 4, 5)), affine_from((2.0, 3.0, 4.0), (10.0, 20.0, 30.0)), Units.INTENSITY)
    np.testing.assert_array_equal(volume.to_world(np.array([[1.0, 2.0, 3.0]])), [[12.0, 26.0, 42.0]])


def test_same_grid_sees_a_hundredth_of_a_millimetre():
    volume = Volume(np.zeros((10, 10, 10)), np.eye(4), Units.INTENSITY)
    near, far = np.eye(4), np.eye(4)
    near[0, 3], far[0, 3] = 0.009, 0.02
    assert volume.same_grid(Volume(volume.array, near, Units.HU))
    assert not volume.same_grid(Volume(volume.array, far, Units.HU))
    assert not volume.same_grid(Volume(volume.array[1:], np.eye(4), Units.HU))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4, 1), (0, 4, 4)])
def test_refuses_other_than_three_full_axes(shape: tuple[int, ...]):
    with pytest.raises(ImagingError, match="three non-empty axes"):
        Volume(np.zeros(shape), np.eye(4), Units.HU)


def test_refuses_labels_that_are_no_integers():
    with pytest.raises(ImagingError, match="integer type"):
        Volume(np.zeros((2, 2, 2)), np.eye(4), Units.LABEL)


@pytest.mark.parametrize("affine", [np.eye(3), np.diag([1.0, 1.0, 0.0, 1.0]), np.diag([1.0, np.nan, 1.0, 1.0])])
def test_refuses_a_grid_that_is_none(affine: np.ndarray):
    with pytest.raises(GeometryError):
        Volume(np.zeros((2, 2, 2)), affine, Units.HU)


def test_unknown_spacing_refuses_millimetres():
    picture = Volume(np.zeros((4, 4, 1)), np.eye(4), Units.INTENSITY, spacing_known=False)
    assert picture.grid_spacing == (1.0, 1.0, 1.0)
    with pytest.raises(GeometryError, match="without pixel spacing"):
        _ = picture.spacing_mm
    with pytest.raises(GeometryError, match="without pixel spacing"):
        _ = picture.voxel_ml


def test_planar_image_refuses_millilitres():
    with pytest.raises(GeometryError, match="planar"):
        _ = Volume(np.zeros((4, 4, 1)), np.eye(4), Units.INTENSITY).voxel_ml


def test_with_array_keeps_the_grid(awkward: Volume):
    labels = awkward.with_array((awkward.array > 0).astype(np.uint8), Units.LABEL)
    assert labels.same_grid(awkward)
    assert labels.units is Units.LABEL
    with pytest.raises(GeometryError, match="shape"):
        awkward.with_array(awkward.array[:2])


def test_survives_a_worker_process(awkward: Volume):
    again = pickle.loads(pickle.dumps(awkward))  # noqa: S301 - its own bytes
    np.testing.assert_array_equal(again.array, awkward.array)
    np.testing.assert_array_equal(again.affine, awkward.affine)
