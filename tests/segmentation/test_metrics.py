"""Agreement of masks, against closed forms."""

import numpy as np
import pytest

from trialscan.errors import GeometryError
from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import compare_masks


def mask(box: tuple[slice, slice, slice] | None, *, spacing=(1.0, 1.0, 1.0), known=True, shape=(20, 20, 20)) -> Volume:
    array = np.zeros(shape, dtype=np.uint8)
    if box is not None:
        array[box] = 3
    return Volume(array, affine_from(spacing), Units.LABEL, spacing_known=known)


CUBE = (slice(5, 15), slice(5, 15), slice(5, 15))
SHIFTED = (slice(7, 17), slice(5, 15), slice(5, 15))


def test_overlap_and_volume_of_shifted_cubes():
    result = compare_masks(mask(SHIFTED, spacing=(1.0, 2.0, 3.0)), mask(CUBE, spacing=(1.0, 2.0, 3.0)))
    assert result["dice"] == pytest.approx(0.8)
    assert result["jaccard"] == pytest.approx(800 / 1200)
    assert result["reference_ml"] == pytest.approx(1000 * 6 / 1000)
    assert result["difference_ml"] == pytest.approx(0)
    assert result["difference_percent"] == 0


def test_identical_masks_agree_wholly():
    result = compare_masks(mask(CUBE), mask(CUBE))
    assert (result["dice"], result["surface_dice_2mm"], result["hd95_mm"]) == (1.0, 1.0, 0.0)


def test_surface_distance_of_parallel_planes_uses_the_spacing():
    first, second = (slice(4, 5), slice(None), slice(None)), (slice(10, 11), slice(None), slice(None))
    result = compare_masks(mask(first, spacing=(0.5, 1, 1)), mask(second, spacing=(0.5, 1, 1)))
    assert result["hd95_mm"] == pytest.approx(3.0)
    assert result["surface_dice_2mm"] == 0
    near = compare_masks(mask(first, spacing=(0.3, 1, 1)), mask(second, spacing=(0.3, 1, 1)))
    assert near["surface_dice_2mm"] == 1


def test_volume_difference_has_the_sign_of_the_prediction():
    half = (slice(5, 10), slice(5, 15), slice(5, 15))
    result = compare_masks(mask(half), mask(CUBE))
    assert result["difference_ml"] == pytest.approx(-0.5)
    assert result["difference_percent"] == pytest.approx(-50)


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    both = compare_masks(mask(None), mask(None))
    assert (both["dice"], both["surface_dice_2mm"], both["hd95_mm"], both["difference_percent"]) == (1, 1, 0, 0)
    missed = compare_masks(mask(None), mask(CUBE))
    assert (missed["dice"], missed["surface_dice_2mm"], missed["hd95_mm"]) == (0, 0, None)
    assert missed["difference_percent"] == -100
    invented = compare_masks(mask(CUBE), mask(None))
    assert (invented["dice"], invented["difference_percent"]) == (0, None)


def test_without_spacing_nothing_is_in_millimetres():
    shape = (20, 20, 1)
    flat = (slice(5, 15), slice(5, 15), slice(None))
    result = compare_masks(mask(flat, known=False, shape=shape), mask(flat, known=False, shape=shape))
    assert result["dice"] == 1
    assert result["hd95_pixels"] == 0
    for name in ("hd95_mm", "surface_dice_2mm", "predicted_ml", "reference_ml", "difference_ml"):
        assert result[name] is None


def test_planar_surface_is_an_outline_not_the_whole_area():
    shape = (20, 20, 1)
    outer, inner = (slice(4, 16), slice(4, 16), slice(None)), (slice(9, 11), slice(9, 11), slice(None))
    result = compare_masks(mask(outer, shape=shape), mask(inner, shape=shape))
    assert result["hd95_mm"] == pytest.approx(np.hypot(5, 5), rel=0.2)
    assert result["predicted_ml"] is None


def test_other_grids_are_refused():
    with pytest.raises(GeometryError, match="grid"):
        compare_masks(mask(CUBE), mask(CUBE, spacing=(2.0, 1.0, 1.0)))
