"""A trained network as a MONAI bundle: configuration without code for trialscan, MONAI's own keys for other runners."""

import hashlib
import json
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
from trialscan.training.config import TrainingConfig

_INTENDED_USE = "Research on clinical-trial images. Not for diagnosis."


def write_bundle(config: TrainingConfig, weights: dict[str, Tensor], bundle: Path, version: str) -> str:
    """Write weights and configurations to `bundle`; returns the SHA-256 digest of the weights.

    Weights are kept in half precision; what does not fit it (the variances of batch normalisation can pass 65504) and
    whole numbers are kept as they are.
    """
    content = to_safetensors({name: _compact(value.detach()) for name, value in sorted(weights.items())})
    digest = hashlib.sha256(content).hexdigest()
    for path in (WEIGHTS, METADATA):
        (bundle / path).parent.mkdir(parents=True, exist_ok=True)
    (bundle / WEIGHTS).write_bytes(content)
    _write_json(bundle / METADATA, _metadata(config, digest, version))
    _write_json(bundle / INFERENCE, _inference(config))
    return digest


def _compact(value: Tensor) -> Tensor:
    half = value.half()
    fits = value.is_floating_point() and torch.allclose(half.to(value.dtype), value, rtol=1e-3, atol=1e-6)
    return (half if fits else value).contiguous()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _metadata(config: TrainingConfig, digest: str, version: str) -> dict[str, Any]:
    planar = config.kind == "planar"
    channels = {str(label): name for label, name in sorted(config.labels.items())}
    shape = list(config.patch[:2] if planar else config.patch)
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": version,
        "changelog": {version: "trained on simulated scans"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {},
        "name": config.name,
        "task": f"segmentation of {', '.join(name for label, name in sorted(config.labels.items()) if label)}",
        "description": "See docs/README.md.",
        "authors": "trialscan",
        "copyright": "Apache-2.0",
        "data_source": "trialscan.phantom (simulated)",
        "intended_use": _INTENDED_USE,
        "network_data_format": {
            "inputs": {"image": _channel(1, shape, [-1, 1], {"0": "image"})},
            "outputs": {"pred": _channel(len(channels), shape, [0, 1], channels)},
        },
        "trialscan": {
            "kind": config.kind,
            "labels": channels,
            "units": "intensity" if planar else "HU",
            "spacing_mm": config.spacing_mm,
            "planar_size": config.planar_size,
            "grey_levels": config.grey_levels,
            "intensity_range": config.intensity_range,
            "window": shape if config.window is None else config.window,
            "overlap": config.overlap,
            "min_component_share": config.min_component_share,
            "lesion_labels": [label for label in sorted(config.labels) if label >= 2],
            "min_lesion_peak": config.min_lesion_peak,
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


def _inference(config: TrainingConfig) -> dict[str, Any]:
    """MONAI's keys. trialscan reads `network_def` alone; the expressions serve `python -m monai.bundle run`."""
    planar = config.kind == "planar"
    return {
        "imports": ["$import glob", "$import os", "$from safetensors.torch import load_file"],
        "bundle_root": ".",
        "dataset_dir": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "datalist": "$[{'image': p} for p in sorted(glob.glob(@dataset_dir + '/*'))]",
        "network_def": config.network,
        "network": "$@network_def.to(@device)",
        "weights": "$@network_def.load_state_dict({k: v.float() for k, v in "
        "load_file(@bundle_root + '/models/model.safetensors').items()})",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": _planar_preparation(config) if planar else _volume_preparation(config),
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


def _volume_preparation(config: TrainingConfig) -> list[dict[str, Any]]:
    low, high = config.intensity_range or (0.0, 1.0)
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
        {"_target_": "Spacingd", "keys": "image", "pixdim": list(config.spacing_mm or ()), "mode": "bilinear"},
        {"_target_": "DivisiblePadd", "keys": "image", "k": 16, "constant_values": -1},
    ]


def _planar_preparation(config: TrainingConfig) -> list[dict[str, Any]]:
    size = config.planar_size
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
        _levelling(config),
        {"_target_": "SpatialPadd", "keys": "image", "spatial_size": [size, size], "constant_values": -1},
    ]


def _levelling(config: TrainingConfig) -> dict[str, Any]:
    if config.grey_levels == "equalise":
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
