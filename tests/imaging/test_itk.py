import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import Units, Volume, affine_from, from_sitk, to_sitk


def test_round_trip(awkward: Volume):
    again = from_sitk(to_sitk(awkward), Units.HU)
    np.testing.assert_array_equal(again.array, awkward.array)
    np.testing.assert_allclose(again.affine, awkward.affine, atol=1e-9)
    assert again.array.dtype == awkward.array.dtype


def test_itk_places_every_voxel_where_the_volume_does(awkward: Volume):
    image = to_sitk(awkward)
    for index in ((0, 0, 0), (4, 5, 6), (1, 3, 2)):
        expected = awkward.to_world(np.array([index], dtype=float))[0]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), expected, atol=1e-9)
        assert image.GetPixel(index) == awkward.array[index]


def test_two_dimensional_image_becomes_planar():
    image = sitk.GetImageFromArray(np.arange(12, dtype=np.float32).reshape(3, 4))
    image.SetSpacing((0.5, 0.25))
    volume = from_sitk(image, Units.INTENSITY)
    assert volume.shape == (4, 3, 1)
    assert volume.spacing_mm == (0.5, 0.25, 1.0)
    assert volume.array[3, 2, 0] == 11


def test_single_frame_of_a_series_loses_time():
    assert from_sitk(sitk.Image([3, 4, 5, 1], sitk.sitkInt16), Units.HU).shape == (3, 4, 5)
    with pytest.raises(ImagingError, match=r"\(3, 4, 5, 2\)"):
        from_sitk(sitk.Image([3, 4, 5, 2], sitk.sitkInt16), Units.HU)


@pytest.mark.parametrize("kind", [sitk.sitkVectorUInt8, sitk.sitkComplexFloat32])
def test_refuses_pixels_of_several_numbers(kind: int):
    with pytest.raises(ImagingError, match="one real number"):
        from_sitk(sitk.Image([3, 4, 5], kind), Units.INTENSITY)


def test_refuses_a_sheared_grid():
    affine = affine_from((1.0, 1.0, 1.0))
    affine[0, 2] = np.tan(np.radians(15))
    with pytest.raises(GeometryError, match="right angles"):
        to_sitk(Volume(np.zeros((3, 3, 3)), affine, Units.HU))


@pytest.mark.parametrize("dtype", ["bool", "float16"])
def test_refuses_numbers_that_itk_does_not_know(dtype: str):
    with pytest.raises(ImagingError, match=dtype):
        to_sitk(Volume(np.zeros((3, 3, 3), dtype), np.eye(4), Units.INTENSITY))
