import numpy as np
import pytest

from trialscan.errors import ImagingError
from trialscan.imaging import Units, Volume, clamp, has_nan


def volume(values: object, dtype: str) -> Volume:
    return Volume(np.array([[values]], dtype=dtype), np.eye(4), Units.HU)


def test_limits_and_keeps_the_type():
    clamped = clamp(volume([-2048, -500, 3071], "int16"), -1024, 400)
    assert clamped.array.dtype == np.int16
    assert clamped.array.ravel().tolist() == [-1024, -500, 400]


def test_whole_numbers_stay_inside_fractional_bounds():
    assert clamp(volume([-5, 0, 5], "int16"), -1.5, 2.5).array.ravel().tolist() == [-1, 0, 2]


def test_bounds_wider_than_the_type_change_nothing():
    assert clamp(volume([0, 255], "uint8"), -1000, 1000).array.ravel().tolist() == [0, 255]


def test_nan_and_infinity_come_inside():
    source = volume([np.nan, -np.inf, np.inf, 1.0], "float32")
    assert has_nan(source)
    clamped = clamp(source, -2.0, 3.0)
    assert clamped.array.ravel().tolist() == [-2.0, -2.0, 3.0, 1.0]
    assert clamped.array.dtype == np.float32
    assert not has_nan(clamped)


def test_whole_numbers_have_no_nan():
    assert not has_nan(volume([1, 2], "int16"))


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (np.nan, 1.0)])
def test_refuses_bounds_in_disorder(bounds: tuple[float, float]):
    with pytest.raises(ImagingError, match="lower bound"):
        clamp(volume([1], "int16"), *bounds)
