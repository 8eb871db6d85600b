"""Bundles: what is loaded, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trialscan.errors import SegmentationError, UsageError
from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import Segmenter, choose_device, load_bundle


def volume(shape=(20, 22, 18), units=Units.HU) -> Volume:
    array = np.random.default_rng(0).uniform(-900, 400, shape).astype(np.float32)
    return Volume(array, affine_from((2.0, 2.0, 2.0)), units)


def changed(source: Path, target: Path, file: str, change: Callable[[dict[str, Any]], None]) -> Path:
    shutil.copytree(source, target)
    content = json.loads((target / "configs" / file).read_text())
    change(content)
    (target / "configs" / file).write_text(json.dumps(content))
    return target


def test_a_bundle_labels_a_scan_on_its_own_grid(bundles):
    segmenter = load_bundle(bundles["volume"], "cpu")
    assert isinstance(segmenter, Segmenter)
    scan = volume()
    answer = segmenter(scan)
    assert answer.labels.same_grid(scan)
    assert answer.labels.units is Units.LABEL
    assert set(np.unique(answer.labels.array)) - {0} == set(answer.probability)
    assert all(0.25 <= p <= 1 for p in answer.probability.values())


def test_identity_names_the_weights(bundles):
    metadata = json.loads((bundles["volume"] / "configs/metadata.json").read_text())
    digest = metadata["trialscan"]["weights_sha256"]
    identity = load_bundle(bundles["volume"], "cpu", digest).identity
    assert (identity.name, identity.version, identity.sha256) == ("small_volume", "0.0.1", digest)


def test_weights_other_than_the_protocols_are_refused(bundles):
    with pytest.raises(SegmentationError, match="the protocol names"):
        load_bundle(bundles["volume"], "cpu", "0" * 64)


def test_swapped_weights_are_refused(bundles, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundles["volume"], copy)
    weights = copy / "models/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(SegmentationError, match="the bundle names"):
        load_bundle(copy, "cpu")


@pytest.mark.parametrize(
    "argument",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "$__import__('os').getcwd()"},
        {"_target_": "monai.networks.nets.UNet", "spatial_dims": "$__import__('os').getpid()"},
        {"_target_": "UNet", "channels": [4, "$8"]},
        {"_target_": "UNet", "act": {"_target_": "torch.nn.ReLU"}},
        {"_target_": "UNet", "strides": "@other"},
        {"spatial_dims": 3},
    ],
)
def test_definitions_that_would_run_code_are_refused(bundles, tmp_path, argument):
    bundle = changed(bundles["volume"], tmp_path / "b", "inference.json", lambda c: c.update(network_def=argument))
    with pytest.raises(SegmentationError, match="network_def"):
        load_bundle(bundle, "cpu")


def test_arguments_that_the_network_refuses_are_named(bundles, tmp_path):
    bundle = changed(
        bundles["volume"], tmp_path / "b", "inference.json", lambda c: c["network_def"].update(spatial_dims=7)
    )
    with pytest.raises(SegmentationError, match="network_def"):
        load_bundle(bundle, "cpu")


def test_weights_of_another_network_are_refused(bundles, tmp_path):
    bundle = changed(
        bundles["volume"], tmp_path / "b", "inference.json", lambda c: c["network_def"].update(channels=[8, 8])
    )
    with pytest.raises(SegmentationError, match=r"model\.safetensors"):
        load_bundle(bundle, "cpu")


def test_incomplete_metadata_names_the_field(bundles, tmp_path):
    bundle = changed(bundles["volume"], tmp_path / "b", "metadata.json", lambda c: c["trialscan"].pop("spacing_mm"))
    with pytest.raises(SegmentationError, match="spacing_mm"):
        load_bundle(bundle, "cpu")


@pytest.mark.parametrize("file", ["configs/metadata.json", "configs/inference.json", "models/model.safetensors"])
def test_a_missing_file_is_named(bundles, tmp_path, file):
    shutil.copytree(bundles["volume"], tmp_path / "b")
    (tmp_path / "b" / file).unlink()
    with pytest.raises(SegmentationError, match=Path(file).name.replace(".", r"\.")):
        load_bundle(tmp_path / "b", "cpu")


def test_damaged_json_is_named(bundles, tmp_path):
    shutil.copytree(bundles["volume"], tmp_path / "b")
    (tmp_path / "b/configs/metadata.json").write_text("{")
    with pytest.raises(SegmentationError, match="no JSON"):
        load_bundle(tmp_path / "b", "cpu")


def test_a_volume_model_refuses_a_single_image_and_the_reverse(bundles):
    planar = volume((30, 20, 1), Units.INTENSITY)
    with pytest.raises(SegmentationError, match="several slices"):
        load_bundle(bundles["volume"], "cpu")(planar)
    with pytest.raises(SegmentationError, match="single image"):
        load_bundle(bundles["planar"], "cpu")(volume())


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "cuda:99", "CPU"])
def test_unknown_devices_are_refused(name):
    with pytest.raises(UsageError, match="--device"):
        choose_device(name)
