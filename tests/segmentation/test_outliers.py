"""Scans unlike the training scans: the score's formula, its calibration, and how it is kept in the bundle."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.covariance import LedoitWolf

from trialscan.errors import SegmentationError, UsageError
from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import load_bundle, segment_scan
from trialscan.segmentation.engine import pooled
from trialscan.segmentation.outliers import FEATURES, deepest_layer, fit_reference, write_reference
from trialscan.study.sections import SegmentationSettings
from trialscan.training.__main__ import main


def draws(count: int, channels: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, channels)) @ np.linalg.qr(rng.normal(size=(channels, channels)))[0] + 3.0


def test_mean_and_covariance_are_ledoit_and_wolfs():
    features = draws(30) * np.linspace(0.5, 4, 12)
    reference = fit_reference(features, "layer")
    expected = LedoitWolf().fit(features)
    np.testing.assert_allclose(reference.precision, expected.precision_, rtol=1e-8)
    row = draws(1, seed=5)[0]
    found = reference.score(row)["outlier_distance"]
    assert found == pytest.approx(float(np.sqrt(expected.mahalanobis(row[None])[0])))


def test_scans_like_the_training_scans_stay_below_one_and_others_do_not():
    reference = fit_reference(draws(200), "layer")
    fresh = [reference.score(row)["outlier_ratio"] for row in draws(400)[200:]]
    assert 0.9 <= np.mean(np.array(fresh) < 1) <= 0.99
    assert reference.score(draws(1)[0] + 5)["outlier_ratio"] > 2
    assert (np.diff(reference.distances) >= 0).all()


def test_too_few_scans_or_all_alike_are_refused():
    with pytest.raises(UsageError, match="9 scans"):
        fit_reference(draws(9), "layer")
    with pytest.raises(UsageError, match="not all alike"):
        fit_reference(np.ones((20, 4)), "layer")


def scan(scale: float = 1.0, seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    smooth = np.kron(rng.normal(-400, 300, (6, 6, 6)), np.ones((4, 4, 4)))
    return Volume((smooth * scale).astype(np.float32), affine_from((4.0, 4.0, 4.0)), Units.HU)


@pytest.fixture(scope="module")
def calibrated(bundles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated") / "volume"
    shutil.copytree(bundles["volume"], folder)
    segmenter = load_bundle(folder, "cpu")
    layer = deepest_layer(segmenter.network, torch.zeros(1, 1, 16, 16, 16))
    features = np.array([pooled(scan(seed=seed), segmenter.loaded, layer) for seed in range(20)])
    write_reference(fit_reference(features, layer), folder)
    return folder


def test_the_deepest_layer_has_the_fewest_positions(bundles):
    network = load_bundle(bundles["volume"], "cpu").network
    layer = network.get_submodule(deepest_layer(network, torch.zeros(1, 1, 16, 16, 16)))
    shapes: list[torch.Size] = []
    handle = layer.register_forward_hook(lambda _m, _i, output: shapes.append(output.shape))
    network(torch.zeros(1, 1, 16, 16, 16))
    handle.remove()
    assert shapes[0][1:] == (8, 8, 8, 8)


def test_a_foreign_scan_is_flagged_and_a_like_one_is_not(calibrated, settings):
    limits = settings.limits.model_dump() | {"max_outlier_ratio": 2.0}
    limited = SegmentationSettings.model_validate(settings.model_dump() | {"limits": limits})
    segmenter = load_bundle(calibrated, "cpu")
    flagged = []
    for volume in (scan(seed=77), scan(scale=0.0)):
        result = segment_scan(volume, settings=limited, segmenter=segmenter, organ_mask=None, lesion_mask=None)
        flagged.append("unlike_training" in result.flags)
        assert result.quality["outlier_ratio"] > 0
    assert flagged == [False, True]


def test_masks_do_not_depend_on_the_score(calibrated, bundles):
    first, second = (load_bundle(path, "cpu")(scan()) for path in (calibrated, bundles["volume"]))
    np.testing.assert_array_equal(first.labels.array, second.labels.array)
    assert "outlier_ratio" not in second.evidence


@pytest.mark.parametrize("damage", ["swapped", "cut", "missing", "other weights"])
def test_damaged_features_are_refused(calibrated, tmp_path, damage):
    copy = tmp_path / "copy"
    shutil.copytree(calibrated, copy)
    if damage == "swapped":
        reference = fit_reference(draws(20, channels=8), "model.0")
        pin = json.loads((copy / "configs/metadata.json").read_text())
        write_reference(reference, copy)
        (copy / "configs/metadata.json").write_text(json.dumps(pin))
    elif damage == "cut":
        (copy / FEATURES).write_bytes((copy / FEATURES).read_bytes()[:-40])
    elif damage == "missing":
        (copy / FEATURES).unlink()
    else:
        content = json.loads((copy / "configs/metadata.json").read_text())
        kept, content["trialscan"]["weights_sha256"] = content["trialscan"]["weights_sha256"], "0" * 64
        (copy / "configs/metadata.json").write_text(json.dumps(content))
        write_reference(fit_reference(draws(20, channels=8), "model.0"), copy)
        content = json.loads((copy / "configs/metadata.json").read_text())
        content["trialscan"]["weights_sha256"] = kept
        (copy / "configs/metadata.json").write_text(json.dumps(content))
    with pytest.raises(SegmentationError, match=r"features\.safetensors"):
        load_bundle(copy, "cpu")


def test_the_command_adds_the_reference_to_a_planar_bundle(bundles, tmp_path, monkeypatch):
    def quick(seed: int) -> SimpleNamespace:
        array = np.kron(np.random.default_rng(seed).integers(0, 255, (8, 8, 1)), np.ones((8, 8, 1))).astype(np.uint8)
        return SimpleNamespace(image=Volume(array, np.eye(4), Units.INTENSITY, spacing_known=False))

    monkeypatch.setattr("trialscan.training.__main__.simulate_radiograph", quick)
    bundle = tmp_path / "planar"
    shutil.copytree(bundles["planar"], bundle)
    result = CliRunner().invoke(main, ["outliers", str(bundle), "--first-seed", "3", "--count", "10"])
    assert result.exception is None, result.output
    assert "8 channels of 10 scans" in result.output
    assert load_bundle(bundle, "cpu").loaded.reference.distances.shape == (10,)
