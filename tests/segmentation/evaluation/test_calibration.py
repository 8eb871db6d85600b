"""Reliability, expected calibration error and Brier score against closed forms."""

import numpy as np
import pytest

from trialscan.errors import ImagingError
from trialscan.segmentation.evaluation.calibration import reliability, widened


def test_probabilities_that_come_true_as_often_as_they_say_are_calibrated():
    rng = np.random.default_rng(0)
    said = rng.random((60, 60, 60)).astype(np.float32)
    found = reliability(said, rng.random(said.shape) < said, "map")
    assert found.expected_calibration_error < 0.005
    assert found.brier_score == pytest.approx(1 / 6, abs=0.005)  # ∫ p (1 − p) dp


def test_a_share_of_truth_other_than_said_is_the_error():
    said, truth = np.full((10, 10, 1), 0.9), np.zeros((10, 10, 1), bool)
    truth[:6] = True
    found = reliability(said, truth, "map")
    assert found.expected_calibration_error == pytest.approx(0.3)
    assert found.brier_score == pytest.approx(0.6 * 0.1**2 + 0.4 * 0.9**2)
    (row,) = (row for row in found.table() if row["voxels"])
    assert row["from_probability"] == 0.9
    assert (row["mean_probability"], row["foreground_share"]) == pytest.approx((0.9, 0.6))


def test_sums_of_scans_are_those_of_all_their_voxels():
    rng = np.random.default_rng(1)
    said, truth = rng.random((2, 8, 8, 8)), rng.random((2, 8, 8, 8)) < 0.3
    halves = [reliability(said[n], truth[n], "map") for n in (0, 1)]
    joined, whole = halves[0] + halves[1], reliability(said, truth, "map")
    assert joined.expected_calibration_error == pytest.approx(whole.expected_calibration_error)
    assert joined.brier_score == pytest.approx(whole.brier_score)


def test_certain_probabilities_fall_into_the_outer_bins():
    truth = np.array([[[True, False]]])
    found = reliability(truth.astype(np.float64), truth, "map")
    assert (found.expected_calibration_error, found.brier_score) == (0, 0)
    assert [row["voxels"] for row in found.table()] == [1, *[0] * 8, 1]
    assert found.table()[4]["mean_probability"] is None


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.nan])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ImagingError, match=r"map\.nii\.gz: values from .* expected probabilities"):
        reliability(np.array([[[0.2, wrong]]]), np.zeros((1, 1, 2), bool), "map.nii.gz")


def test_the_box_grows_by_ten_millimetres_and_stays_in_the_scan():
    box = (slice(5, 8), slice(30, 40), slice(2, 3))
    assert widened(box, (1.0, 2.0, 4.0), (100, 43, 9)) == (slice(0, 18), slice(25, 43), slice(0, 6))
