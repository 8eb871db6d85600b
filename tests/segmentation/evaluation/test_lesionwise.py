"""Lesions found and invented, on masks whose lesions are laid out by hand."""

import numpy as np
import pytest

from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation.evaluation.lesionwise import band_start, bands, detection, match_lesions
from trialscan.segmentation.evaluation.scan import Criteria, compare_scan


def mask(*boxes: tuple[int, int], shape=(40, 12, 12)):
    array = np.zeros(shape, bool)
    for start, stop in boxes:
        array[start:stop, 2:8, 2:8] = True
    return array


def test_each_lesion_counts_once_on_its_own_side():
    joined = match_lesions(mask((1, 20)), mask((1, 5), (7, 11), (13, 17))).measures()
    assert [joined[name] for name in ("reference_lesions", "found_lesions", "predicted_lesions", "true_lesions")] == [
        *(3, 3, 1, 1)
    ]
    split = match_lesions(mask((1, 5), (7, 11), (13, 17)), mask((1, 20))).measures()
    assert (split["lesion_precision"], split["lesion_recall"], split["lesion_f1"]) == (1, 1, 1)


def test_missed_and_invented_lesions():
    found = match_lesions(mask((1, 5), (20, 24), (30, 34)), mask((1, 5), (10, 14)))
    measures = found.measures()
    assert (measures["lesion_precision"], measures["lesion_recall"]) == pytest.approx((1 / 3, 1 / 2))
    assert measures["lesion_f1"] == pytest.approx(2 / 5)
    assert measures["false_lesions"] == 2
    assert found.reference.partners == ((0,), ())


def test_the_share_that_must_be_exceeded_is_of_the_lesions_own_volume():
    reference, predicted = mask((0, 10)), mask((8, 28))
    for share, found, true in ((0.0, 1, 1), (0.15, 1, 0), (0.2, 0, 0)):
        measures = match_lesions(predicted, reference, share).measures()
        assert (measures["found_lesions"], measures["true_lesions"]) == (found, true)


def test_lesions_are_numbered_by_size_and_dice_is_with_all_that_touch():
    found = match_lesions(mask((0, 3), (5, 9), (30, 32)), mask((0, 10), (20, 32)))
    assert found.reference.voxels.tolist() == [12 * 36, 10 * 36]
    assert found.predicted.voxels.tolist() == [4 * 36, 3 * 36, 2 * 36]
    assert found.reference.dice.tolist() == pytest.approx([2 * 2 / 14, 2 * 7 / 17])
    assert found.reference.partners == ((2,), (0, 1))
    assert found.reference.centroids[1].tolist() == pytest.approx([4.5, 4.5, 4.5])


def test_voxels_that_share_a_corner_are_one_lesion_also_in_planar_images():
    diagonal = np.eye(6, dtype=bool)
    volume = diagonal[:, :, None] & np.eye(6, dtype=bool)[None]
    assert len(match_lesions(volume, volume).reference.voxels) == 1
    assert len(match_lesions(diagonal[:, :, None], diagonal[:, :, None]).reference.voxels) == 1


def test_absent_lesions_have_defined_measures():
    nothing, some = mask(), mask((1, 5))
    both = match_lesions(nothing, nothing).measures()
    assert (both["lesion_precision"], both["lesion_recall"], both["lesion_f1"]) == (None, None, 1)
    missed = match_lesions(nothing, some).measures()
    assert (missed["lesion_precision"], missed["lesion_recall"], missed["lesion_f1"]) == (None, 0, 0)
    invented = match_lesions(some, nothing).measures()
    assert (invented["lesion_precision"], invented["lesion_recall"], invented["lesion_f1"]) == (0, None, 0)
    assert detection(0, 0, 0, 0) == (None, None, None)


def test_random_masks_are_counted_as_by_hand():
    rng = np.random.default_rng(5)
    first, second = rng.random((2, 14, 14, 14)) < 0.02
    found = match_lesions(first, second, 0.0)
    both = first & second
    for own, lesions in ((second, found.reference), (first, found.predicted)):
        assert lesions.voxels.sum() == own.sum()
        assert lesions.overlap.sum() == both.sum()
    assert [len(p) > 0 for p in found.reference.partners] == found.reference.matched.tolist()
    couples = {(i, j) for i, row in enumerate(found.reference.partners) for j in row}
    assert couples == {(i, j) for j, row in enumerate(found.predicted.partners) for i in row}


def labels(array, **options):
    spacing = options.pop("spacing", (2.0, 2.0, 2.0))
    return Volume(array.astype(np.uint8), affine_from(spacing, (10.0, 20.0, 30.0)), Units.LABEL, **options)


def test_bands_are_the_references_and_positions_are_the_scans():
    reference = mask((10, 20))  # 360 voxels of 8 mm³: 2.88 ml
    predicted = mask((11, 13), (30, 33))  # 0.576 ml in the lesion, 0.864 ml elsewhere
    rows = compare_scan(labels(predicted), labels(reference), Criteria()).lesions
    every = {(row["side"], row["lesion"]): row for row in rows if row["label"] == "any"}
    assert every["reference", 1]["from_ml"] == 2.0
    assert every["predicted", 2]["from_ml"] == 2.0  # true: its partner's band
    assert every["predicted", 1]["from_ml"] == 0.5  # false: its own
    assert every["reference", 1]["volume_ml"] == pytest.approx(2.88)
    centre = [every["reference", 1][f"centroid_{axis}_mm"] for axis in "xyz"]
    assert centre == pytest.approx([10 + 2 * 14.5, 20 + 2 * 4.5, 30 + 2 * 4.5])


def test_without_spacing_lesions_have_no_band_and_no_position():
    found = compare_scan(
        labels(mask((1, 5)), spacing_known=False), labels(mask((1, 5)), spacing_known=False), Criteria()
    )
    (row, _) = (row for row in found.lesions if row["label"] == "any")
    assert [row[name] for name in ("volume_ml", "area_mm2", "from_ml", "centroid_x_mm")] == [None] * 4
    assert row["voxels"] == 144
    planar = labels(mask((1, 5))[:, :, 4:5])
    (row, _) = (row for row in compare_scan(planar, planar, Criteria()).lesions if row["label"] == "any")
    assert (row["area_mm2"], row["volume_ml"], row["from_ml"]) == (24 * 4.0, None, None)


def test_a_volume_at_the_end_of_a_band_is_in_the_upper_one():
    assert bands((0.1, 0.5)) == [(0.0, 0.1), (0.1, 0.5), (0.5, None)]
    assert [band_start(volume, (0.1, 0.5)) for volume in (0.05, 0.1, 100 * 0.001, 0.3, 0.5 - 1e-12, 9.0)] == [
        *(0.0, 0.1, 0.1, 0.1, 0.5, 0.5)
    ]
