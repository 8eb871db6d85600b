"""A trained network as a MONAI bundle: configuration without code for trialscan, MONAI's own keys for other runners."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from trialscan.segmentation.bundle import INFERENCE, WEIGHTS
from trialscan.segmentation.model_folder import METADATA
from trialscan.segmentation.preparation import STRETCH_PERCENTILES
from trialscan.segmentation.specification import ModelSpecification
from trialscan.training.cases import FIRST_LESION
from trialscan.training.config import TrainingConfig

NOT_YET = "0" * 64
_LEAST_DIVISOR = 16
_INTENDED_USE = "Research on clinical-trial images. Not for diagnosis."


@dataclass(frozen=True)
class ModelDescription:
    """What a bundle says of its network beside the weights; `spec.weights_sha256` is filled in on writing.

    `patch` is in voxels of the model's grid, planar models have two lengths. `data_source` and `changelog` are words.
    """

    name: str
    network: Mapping[str, Any]
    spec: ModelSpecification
    patch: tuple[int, ...]
    data_source: str
    changelog: str


def write_bundle(config: TrainingConfig, weights: dict[str, Tensor], bundle: Path, version: str) -> str:
    """Write what was trained on simulated scans as a bundle; returns the SHA-256 digest of the weights."""
    planar = config.kind == "planar"
    patch = config.patch[:2] if planar else config.patch
    spec = ModelSpecification(
        kind=config.kind,
        labels=config.labels,
        units="intensity" if planar else "HU",
        spacing_mm=config.spacing_mm,
        planar_size=config.planar_size,
        grey_levels=config.grey_levels,
        intensity_range=config.intensity_range,
        window=patch if config.window is None else config.window,
        overlap=config.overlap,
        min_component_share=config.min_component_share,
        lesion_labels=tuple(label for label in sorted(config.labels) if label >= FIRST_LESION),
        min_lesion_peak=config.min_lesion_peak,
        weights_sha256=NOT_YET,
    )
    described = ModelDescription(
        config.name, config.network, spec, patch, "trialscan.phantom (simulated)", "trained on simulated scans"
    )
    return write_model(described, weights, bundle, version)


def write_model(described: ModelDescription, weights: Mapping[str, Tensor], bundle: Path, version: str) -> str:
    """Write weights and configurations to the folder `bundle`; returns the SHA-256 digest of the weights.

    Weights are kept in half precision; what does not fit it (the variances of batch normalisation can pass 65504) and
    whole numbers are kept as they are.
    """
    content = to_safetensors({name: _compact(value.detach()) for name, value in sorted(weights.items())})
    digest = hashlib.sha256(content).hexdigest()
    for path in (WEIGHTS, METADATA):
        (bundle / path).parent.mkdir(parents=True, exist_ok=True)
    (bundle / WEIGHTS).write_bytes(content)
    _write_json(bundle / METADATA, _metadata(described, digest, version))
    _write_json(bundle / INFERENCE, _inference(described))
    return digest


def edge_divisor(network: Mapping[str, Any]) -> int:
    """What the edges of an image must be multiples of, by the strides in a network's definition; at least 16."""
    return max(_LEAST_DIVISOR, math.prod(int(np.max(stride)) for stride in network.get("strides", ())))


def _compact(value: Tensor) -> Tensor:
    half = value.half()
    fits = value.is_floating_point() and torch.allclose(half.to(value.dtype), value, rtol=1e-3, atol=1e-6)
    return (half if fits else value).contiguous()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _metadata(described: ModelDescription, digest: str, version: str) -> dict[str, Any]:
    spec = described.spec
    channels = {str(label): name for label, name in sorted(spec.labels.items())}
    shape = list(described.patch)
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": version,
        "changelog": {version: described.changelog},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {},
        "name": described.name,
        "task": f"segmentation of {', '.join(name for label, name in sorted(spec.labels.items()) if label)}",
        "description": "See docs/README.md.",
        "authors": "trialscan",
        "copyright": "Apache-2.0",
        "data_source": described.data_source,
        "intended_use": _INTENDED_USE,
        "network_data_format": {
            "inputs": {"image": _channel(1, shape, [-1, 1], {"0": "image"})},
            "outputs": {"pred": _channel(len(channels), shape, [0, 1], channels)},
        },
        "trialscan": {
            "kind": spec.kind,
            "labels": channels,
            "units": spec.units,
            "spacing_mm": spec.spacing_mm,
            "planar_size": spec.planar_size,
            "grey_levels": spec.grey_levels,
            "intensity_range": spec.intensity_range,
            "window": spec.window,
            "overlap": spec.overlap,
            "min_component_share": spec.min_component_share,
            "lesion_labels": spec.lesion_labels,
            "min_lesion_peak": spec.min_lesion_peak,
            "weights_sha256": digest,
        },
    }


def _channel(count: int, shape: list[int], value_range: list[float], meaning: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "image" if count == 1 else "probabilities",
        "format": "magnitude" if count == 1 else "segmentation",
        "num_channels": count,
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": value_range,
        "is_patch_data": True,
        "channel_def": meaning,
    }


def _inference(described: ModelDescription) -> dict[str, Any]:
    """MONAI's keys. trialscan reads `network_def` alone; the expressions serve `python -m monai.bundle run`."""
    return {
        "imports": ["$import glob", "$import os", "$from safetensors.torch import load_file"],
        "bundle_root": ".",
        "dataset_dir": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "datalist": "$[{'image': p} for p in sorted(glob.glob(@dataset_dir + '/*'))]",
        "network_def": dict(described.network),
        "network": "$@network_def.to(@device)",
        "weights": "$@network_def.load_state_dict({k: v.float() for k, v in "
        "load_file(@bundle_root + '/models/model.safetensors').items()})",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": _preparation(described),
        },
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "shuffle": False},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": _answer()},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)", "$@weights", "$@network.eval()"],
        "run": ["$@evaluator.run()"],
    }


def _answer() -> list[dict[str, Any]]:
    return [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
    ]


def _preparation(described: ModelDescription) -> list[dict[str, Any]]:
    if described.spec.kind == "planar":
        return _planar_preparation(described.spec)
    return _volume_preparation(described.spec, edge_divisor(described.network))


def _volume_preparation(spec: ModelSpecification, divisor: int) -> list[dict[str, Any]]:
    low, high = spec.intensity_range or (0.0, 1.0)
    return [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "LPS", "labels": None},
        {
            "_target_": "ScaleIntensityRanged",
            "keys": "image",
            "a_min": low,
            "a_max": high,
            "b_min": -1.0,
            "b_max": 1.0,
            "clip": True,
        },
        {"_target_": "Spacingd", "keys": "image", "pixdim": list(spec.spacing_mm or ()), "mode": "bilinear"},
        {"_target_": "DivisiblePadd", "keys": "image", "k": divisor, "constant_values": -1},
    ]


def _planar_preparation(spec: ModelSpecification) -> list[dict[str, Any]]:
    size = spec.planar_size
    return [
        {
            "_target_": "LoadImaged",
            "keys": "image",
            "reader": "PILReader",
            "converter": "$lambda image: image.convert('L')",
        },
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {
            "_target_": "Resized",
            "keys": "image",
            "spatial_size": size,
            "size_mode": "longest",
            "mode": "bilinear",
            "anti_aliasing": True,
        },
        _levelling(spec),
        {"_target_": "SpatialPadd", "keys": "image", "spatial_size": [size, size], "constant_values": -1},
    ]


def _levelling(spec: ModelSpecification) -> dict[str, Any]:
    if spec.grey_levels == "equalise":
        return {"_target_": "HistogramNormalized", "keys": "image", "num_bins": 256, "min": -1, "max": 1}
    lower, upper = STRETCH_PERCENTILES
    return {
        "_target_": "ScaleIntensityRangePercentilesd",
        "keys": "image",
        "lower": lower,
        "upper": upper,
        "b_min": -1.0,
        "b_max": 1.0,
        "clip": True,
    }
