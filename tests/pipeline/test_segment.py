"""A segmentation written to the run folder and read again."""

from dataclasses import replace

import numpy as np
import pytest

from trialscan.imaging import Units, Volume, affine_from
from trialscan.pipeline.stages.segment import read_segmentation, write_segmentation
from trialscan.segmentation import Segmentation


def segmentation(percent: Volume | None) -> Segmentation:
    mask = Volume(np.eye(8, dtype=np.uint8)[..., None].repeat(8, 2), affine_from((1.0, 2.0, 3.0)), Units.LABEL)
    return Segmentation(
        organ=None,
        lesions=mask,
        class_names={1: "lesion"},
        organ_source="none",
        lesion_source="model",
        model=None,
        quality={},
        flags=(),
        probability_percent=percent,
    )


@pytest.fixture
def percent() -> Volume:
    array = np.random.default_rng(2).integers(0, 101, (8, 8, 8)).astype(np.uint8)
    return Volume(array, affine_from((1.0, 2.0, 3.0)), Units.LABEL)


def test_probabilities_come_back_but_for_the_least(tmp_path, percent):
    names = write_segmentation(tmp_path, "P1/V1", segmentation(percent))
    assert "P1/V1/probability.nii.gz" in names
    found = read_segmentation(tmp_path, "P1/V1", with_probability=True).probability_percent
    assert found is not None
    assert found.same_grid(percent)
    assert found.array.dtype == np.uint8
    np.testing.assert_array_equal(found.array, np.where(percent.array < 5, 0, percent.array))


def test_a_readers_masks_leave_none_behind(tmp_path, percent):
    write_segmentation(tmp_path, "P1/V1", segmentation(percent))
    names = write_segmentation(tmp_path, "P1/V1", replace(segmentation(None), lesion_source="reader"))
    assert "P1/V1/probability.nii.gz" not in names
    assert not (tmp_path / "P1/V1/probability.nii.gz").exists()
    assert read_segmentation(tmp_path, "P1/V1", with_probability=True).probability_percent is None
