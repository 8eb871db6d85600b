"""The shipped models, on simulated scans never trained on and on real ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.ct_slices import model_dice, read_slices
from trialscan.imaging import Units, Volume, read_mask, read_volume
from trialscan.phantom import simulate_radiograph, simulate_thorax
from trialscan.segmentation import BundleSegmenter, compare_masks, load_bundle
from trialscan.study import load_protocol
from trialscan.training.config import load_config
from trialscan.training.slice_assessment import fresh_slice

MODELS = Path(__file__).resolve().parents[2] / "protocols" / "models"
NAMES = ("thorax_ct", "chest_xray", "ct_slice")
FRESH_SEEDS = (990_001, 990_002)


@pytest.fixture(scope="module")
def thorax() -> BundleSegmenter:
    return load_bundle(MODELS / "thorax_ct", "cpu")


@pytest.fixture(scope="module")
def radiograph() -> BundleSegmenter:
    return load_bundle(MODELS / "chest_xray", "cpu")


@pytest.fixture(scope="module")
def ct_slice() -> BundleSegmenter:
    return load_bundle(MODELS / "ct_slice", "cpu")


def positive(volume: Volume, at_least: int = 1) -> Volume:
    return volume.with_array((volume.array >= at_least).astype(np.uint8), Units.LABEL)


@pytest.mark.parametrize("name", NAMES)
def test_bundles_are_small_and_carry_a_card(name):
    folder = MODELS / name
    assert (folder / "models/model.safetensors").stat().st_size < 20e6
    card = (folder / "docs/README.md").read_text(encoding="utf-8")
    assert "Not for diagnosis" in card
    assert "Apache-2.0" in card
    network = json.loads((folder / "configs/inference.json").read_text())["network_def"]
    assert network == load_config(folder / "training.yaml").network


@pytest.mark.parametrize(
    ("protocol", "name"),
    [("covid_lung_ct", "thorax_ct"), ("chest_xray", "chest_xray"), ("covid_ct_slice", "ct_slice")],
)
def test_shipped_protocols_take_the_shipped_weights(protocol, name):
    settings = load_protocol(protocol).segmentation
    assert settings.model == name
    segmenter = load_bundle(MODELS / name, "cpu", settings.weights_sha256)
    assert set(settings.lesion_labels) | set(settings.organ_labels) <= set(segmenter.spec.labels)


def test_fresh_seeds_are_not_training_seeds():
    for name in NAMES:
        data = load_config(MODELS / name / "training.yaml").data
        assert not set(FRESH_SEEDS) & set(range(data.first_seed, data.first_seed + data.cases))


@pytest.mark.parametrize("seed", FRESH_SEEDS)
def test_a_simulated_thorax_of_a_fresh_seed(thorax, seed):
    phantom = simulate_thorax(seed)
    labels = thorax(phantom.image).labels
    organ = compare_masks(positive(labels), positive(phantom.organ))
    lesions = compare_masks(positive(labels, 2), positive(phantom.lesions))
    assert organ["dice"] is not None
    assert organ["dice"] >= 0.97
    assert lesions["dice"] is not None
    assert lesions["dice"] >= 0.80


@pytest.mark.parametrize("visit", ["baseline", "followup"])
def test_the_lung_of_a_real_scan(thorax, real_data, visit):
    scan = read_volume(real_data / "lung_ct_pair" / f"{visit}.mha", Units.HU)
    mask = read_mask(real_data / "lung_ct_pair" / f"{visit}_lung_mask.mha", like=scan)
    result = compare_masks(positive(thorax(scan).labels), mask)
    assert result["dice"] is not None
    assert result["dice"] >= 0.95
    assert result["difference_percent"] == pytest.approx(0, abs=5)


def test_a_simulated_radiograph_of_a_fresh_seed(radiograph):
    picture = simulate_radiograph(FRESH_SEEDS[0])
    result = compare_masks(positive(radiograph(picture.image).labels), positive(picture.lungs))
    assert result["dice"] is not None
    assert result["dice"] >= 0.9


def test_lung_fields_of_real_radiographs(radiograph, real_data):
    folder = real_data / "chest_xray"
    dice = []
    for path in sorted((folder / "images").iterdir())[::4]:
        image = read_volume(path, Units.INTENSITY)
        reader = read_mask(folder / "lung_masks" / f"{path.stem}.png", like=image)
        found, wanted = radiograph(image).labels.array > 0, reader.array > 0
        dice.append(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))
    assert np.mean(dice) >= 0.8


@pytest.mark.parametrize("seed", [980_000, 980_005])
def test_a_simulated_slice_with_much_disease(ct_slice, seed):
    picture, scan, _ = fresh_slice(load_config(MODELS / "ct_slice" / "training.yaml").data, seed)
    labels, truth = ct_slice(picture).labels.array[..., 0], scan.labels.numpy()
    for least, wanted in ((1, 0.9), (2, 0.6)):
        found, there = labels >= least, truth >= least
        assert 2 * (found & there).sum() / (found.sum() + there.sum()) >= wanted


def test_real_slices_that_no_model_was_trained_on(ct_slice, real_data):
    dice = model_dice(ct_slice, read_slices(real_data / "covid_ct_slices"))
    assert dice.size == 50
    assert dice.mean() >= 0.60
