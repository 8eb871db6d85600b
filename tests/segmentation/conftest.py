"""Small models and scans."""

from pathlib import Path

import pytest
import torch

from trialscan.segmentation.network import build_network
from trialscan.study.sections import SegmentationSettings
from trialscan.training.config import TrainingConfig
from trialscan.training.export import write_bundle


def small_config(kind: str) -> TrainingConfig:
    planar = kind == "planar"
    return TrainingConfig.model_validate(
        {
            "name": f"small_{kind}",
            "kind": kind,
            "labels": {0: "background", 1: "lung", 2: "ground_glass", 3: "consolidation"},
            "network": {
                "_target_": "UNet",
                "spatial_dims": 2 if planar else 3,
                "in_channels": 1,
                "out_channels": 4,
                "channels": [4, 8],
                "strides": [2],
            },
            "spacing_mm": None if planar else (4.0, 4.0, 4.0),
            "planar_size": 64 if planar else None,
            "intensity_range": None if planar else (-1024.0, 600.0),
            "patch": (64, 64, 1) if planar else (16, 16, 16),
            "steps": 4,
            "seed": 3,
            "data": {"cases": 1, "first_seed": 1},
        }
    )


@pytest.fixture(scope="session")
def bundles(tmp_path_factory) -> dict[str, Path]:
    """An untrained 3-D and an untrained 2-D bundle."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("volume", "planar"):
        config = small_config(kind)
        torch.manual_seed(0)
        write_bundle(config, build_network(config.network, "test").state_dict(), folder / kind, "0.0.1")
    return {kind: folder / kind for kind in ("volume", "planar")}


@pytest.fixture
def settings() -> SegmentationSettings:
    return SegmentationSettings.model_validate(
        {
            "model": "m",
            "organ_name": "lungs",
            "organ_labels": [1],
            "lesion_labels": {2: "ground_glass", 3: "consolidation"},
            "reader_lesion_labels": {7: "consolidation", 9: "ground_glass"},
            "units": "HU",
            "intensity_range": [-1024, 600],
            "limits": {
                "max_slice_thickness_mm": 5.0,
                "min_organ_ml": 1.0,
                "max_organ_ml": 100.0,
                "max_outside_organ_percent": 5.0,
            },
        }
    )
