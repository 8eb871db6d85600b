"""The figures of a model's card."""

from pathlib import Path

import numpy as np
import pytest

from trialscan.imaging import Units, Volume
from trialscan.phantom import Phantom
from trialscan.segmentation import LabelMap, ModelIdentity, load_bundle
from trialscan.training.assessment import assess_planar, assess_volume, fresh_scan
from trialscan.training.calibration import lesion_shift, shift_logits
from trialscan.training.config import load_config
from trialscan.training.export import write_bundle
from trialscan.training.phantoms import merged_labels, volume_case

SEED = 990_012
MODELS = Path(__file__).resolve().parents[2] / "protocols" / "models"


class Knowing:
    """A segmenter that knows the truth of one simulated scan, but sees no consolidation."""

    identity = ModelIdentity("knowing", "1", "0" * 64)

    def __init__(self, phantom: Phantom) -> None:
        self.labels = merged_labels(phantom.organ.array, phantom.lesions.array * (phantom.lesions.array == 1))

    def __call__(self, volume: Volume) -> LabelMap:
        return LabelMap(volume.with_array(self.labels, Units.LABEL), {})


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return fresh_scan(SEED)[0]


def test_figures_are_those_of_the_masks(phantom):
    result = assess_volume(Knowing(phantom), [SEED])
    row = result.scans.iloc[0]
    glass, both = ((phantom.lesions.array == 1).sum(), (phantom.lesions.array > 0).sum())
    assert row["lung_dice"] == 1
    assert row["lesion_dice"] == pytest.approx(2 * glass / (glass + both))
    assert row["burden_error_percent"] == pytest.approx(100 * (glass - both) / both)
    assert len(result.lesions) == len(phantom.truth)
    assert result.by_size()["lesions"].sum() == len(phantom.truth)
    assert result.by_noise()["scans"].sum() == 1


def test_a_seed_gives_the_same_scan(phantom):
    np.testing.assert_array_equal(fresh_scan(SEED)[0].image.array, phantom.image.array)


def test_a_training_case_keeps_the_volumes_of_its_phantom(phantom):
    case = volume_case(phantom, (2.5, 2.5, 2.5))
    box_ml = phantom.image.array.size * phantom.image.voxel_ml
    for threshold, truth in ((1, phantom.organ), (2, phantom.lesions)):
        expected = (truth.array > 0).sum() * truth.voxel_ml
        found = (case.labels >= threshold).sum() * box_ml / case.labels.size
        assert found == pytest.approx(expected, rel=0.05)


def test_radiographs_get_a_row_each():
    class Blank:
        identity = ModelIdentity("blank", "1", "0" * 64)

        def __call__(self, volume: Volume) -> LabelMap:
            return LabelMap(volume.with_array(np.zeros(volume.shape, np.uint8), Units.LABEL), {})

    rows = assess_planar(Blank(), [990_001])
    assert rows["lung_dice"].tolist() == [0.0]


def test_calibration_finds_the_shift_that_restores_the_volume(tmp_path):
    config = load_config(MODELS / "thorax_ct" / "training.yaml")
    shipped = load_bundle(MODELS / "thorax_ct", "cpu")
    weights = dict(shipped.network.state_dict())
    lowered = shift_logits(weights, shipped.network, [2, 3], -0.8)
    write_bundle(config, lowered, tmp_path / "lowered", "0")
    seeds = [990_006]
    expected = lesion_shift(shipped, seeds) + 0.8
    assert lesion_shift(load_bundle(tmp_path / "lowered", "cpu"), seeds) == pytest.approx(expected, abs=0.06)
