"""Which slice is shown, on grids with known answers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trialscan.imaging import Units, Volume, affine_from
from trialscan.reports.slices import choose_slice, orientation_letters


def volume(array: NDArray[np.generic], spacing: tuple[float, float, float] = (1.0, 1.0, 3.0)) -> Volume:
    units = Units.LABEL if np.issubdtype(array.dtype, np.integer) else Units.HU
    return Volume(array, affine_from(spacing, origin=(-30.0, 20.0, 100.0)), units)


def image(shape: tuple[int, int, int] = (40, 50, 12)) -> Volume:
    return volume(np.zeros(shape, dtype=np.float32))


def mask(*boxes: tuple[slice, slice, slice], shape: tuple[int, int, int] = (40, 50, 12)) -> Volume:
    array = np.zeros(shape, dtype=np.uint8)
    for box in boxes:
        array[box] = 1
    return volume(array)


def test_slice_of_largest_lesion_area() -> None:
    lesions = mask((slice(10, 12), slice(10, 12), slice(0, 12)), (slice(20, 30), slice(20, 30), slice(7, 8)))
    position = choose_slice(lesions, None, image())
    assert position.chosen_by == "lesion area"
    assert position.center == pytest.approx((-30 + 19.5, 20 + 24.5, 100 + 7 * 3))
    assert position.shape == (40, 50)


def test_without_lesions_through_the_organ_with_a_margin() -> None:
    organ = mask((slice(15, 25), slice(12, 22), slice(2, 9)))
    position = choose_slice(mask(), organ, image())
    assert position.chosen_by == "organ centre"
    assert position.shape == (30, 30)
    assert position.affine[:3, 3] == pytest.approx((-30 + 5, 20 + 2, 100 + 5 * 3))


def test_without_masks_the_middle() -> None:
    position = choose_slice(None, None, image())
    assert position.chosen_by == "image centre"
    assert position.center[2] == pytest.approx(100 + 6 * 3)


def test_pixels_are_square_on_an_anisotropic_grid() -> None:
    coarse = volume(np.zeros((40, 25, 4), dtype=np.float32), spacing=(1.0, 2.0, 3.0))
    position = choose_slice(None, None, coarse)
    assert position.pixel_size == pytest.approx(1.0)
    assert position.shape == (40, 50)
    assert np.linalg.norm(position.affine[:3, 1]) == pytest.approx(1.0)
    assert position.affine[1, 3] == pytest.approx(20 - 0.5)


def test_large_slices_are_limited_to_600_pixels() -> None:
    fine = volume(np.zeros((1500, 900, 1), dtype=np.float32), spacing=(0.2, 0.2, 1.0))
    position = choose_slice(None, None, fine)
    assert position.shape == (600, 360)
    assert position.pixel_size == pytest.approx(0.5)
    assert position.chosen_by == "whole image"


def test_axes_in_any_order_give_an_upright_axial_picture() -> None:
    """A sagittal acquisition (i towards feet, j to the back, k to the right) is shown as an axial slice."""
    direction = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    lesions = np.zeros((12, 50, 40), dtype=np.uint8)
    lesions[4, 10:20, 5:15] = 1
    affine = affine_from((3.0, 1.0, 1.0), direction=direction)
    scan = Volume(np.zeros((12, 50, 40), dtype=np.float32), affine, Units.HU)
    position = choose_slice(Volume(lesions, affine, Units.LABEL), None, scan)
    assert position.shape == (40, 50)
    assert position.center[2] == pytest.approx(-12.0)
    assert orientation_letters(position.affine) == {"left": "R", "right": "L", "top": "A", "bottom": "P"}


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        ((1, 0, 0), (0, 1, 0), "RLAP"),
        ((-1, 0, 0), (0, 1, 0), "LRAP"),
        ((0, 1, 0), (0, 0, -1), "APSI"),
        ((0.9, 0.1, 0.4), (0, 0.1, -0.9), "RLSI"),
    ],
)
def test_orientation_letters(columns: tuple[float, ...], rows: tuple[float, ...], expected: str) -> None:
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = columns, rows
    letters = orientation_letters(affine)
    assert "".join(letters[edge] for edge in ("left", "right", "top", "bottom")) == expected
