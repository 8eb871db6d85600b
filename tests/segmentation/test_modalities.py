"""Every modality that a protocol can name, from file to masks, by one engine.

Where no network ships, the model is a bundle of MONAI's UNet whose weights are set so that it calls what is brighter
than one grey level organ and what is brighter than another lesion: the truth is then known of real scans too. Their
levels are numbers that half precision holds exactly.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import trialscan
from trialscan.errors import SegmentationError
from trialscan.imaging import Units, Volume, read_mask, read_volume, write_volume
from trialscan.phantom import simulate_radiograph, simulate_thorax
from trialscan.segmentation.network import build_network
from trialscan.study.shipped import find_protocol
from trialscan.training.config import TrainingConfig
from trialscan.training.export import write_bundle

STEEPNESS, LIFT = 1000.0, 0.01
MODEL = """  model: threshold
  organ_labels: [1]
  lesion_labels: {2: NAME}
"""


def threshold_bundle(folder: Path, organ: float, lesion: float, **geometry) -> None:
    """A bundle that labels grey levels (-1 … 1) above `organ` 1 and above `lesion` 2."""
    dimensions = 2 if "planar_size" in geometry else 3
    network = {"_target_": "UNet", "spatial_dims": dimensions, "in_channels": 1, "out_channels": 3}
    network |= {"channels": [2, 2], "strides": [1], "norm": "batch", "act": "relu"}
    content = {"name": "threshold", "kind": "planar" if dimensions == 2 else "volume", "network": network}
    content |= {"labels": {0: "background", 1: "organ", 2: "lesion"}, "steps": 1, "data": {"cases": 1, "first_seed": 1}}
    content |= {"patch": (96, 96, 1) if dimensions == 2 else (96, 96, 96)}
    config = TrainingConfig.model_validate(content | geometry)
    weights = {
        name: torch.zeros_like(value) if "adn" not in name else value
        for name, value in build_network(config.network, "test").state_dict().items()
    }
    middle = (1,) * dimensions
    weights["model.0.conv.weight"][(slice(None), 0, *middle)] = 1.0
    weights["model.0.conv.bias"][:] = torch.tensor([-organ, -lesion])
    for source, target in ((0, 1), (0, 2), (1, 2)):
        weights["model.2.conv.weight"][(source, target, *middle)] = STEEPNESS
    weights["model.2.conv.bias"][:] = torch.tensor([LIFT, 0.0, -LIFT])
    write_bundle(config, weights, folder / "models" / "threshold", "1")


def protocol_with_model(folder: Path, name: str, lesion: str) -> Path:
    """A shipped protocol in which the threshold stands for the readers."""
    text = find_protocol(name).read_text(encoding="utf-8")
    path = folder / f"{name}.yaml"
    path.write_text(
        text.replace("  model: null                  # readers' masks only\n", MODEL.replace("NAME", lesion)),
        encoding="utf-8",
    )
    return path


def masks(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return read_mask(folder / "organ.nii.gz").array, read_mask(folder / "lesions.nii.gz").array


def scaled(value: float, low: float, high: float) -> float:
    return 2 * (value - low) / (high - low) - 1


def test_mr(real_data, tmp_path):
    patient = real_data / "ms_flair_lesions" / "patient07"
    whole = read_volume(patient / "FLAIR.nii.gz", Units.INTENSITY)
    image = Volume(whole.array[60:120, 60:150, 80:110].copy(), whole.affine, Units.INTENSITY)
    flair = tmp_path / "flair.nii.gz"
    write_volume(flair, image)
    top = float(image.array.max())
    brain, bright = 0.25 * top, 0.625 * top
    threshold_bundle(
        tmp_path,
        scaled(brain, 0, top),
        scaled(bright, 0, top),
        spacing_mm=image.spacing_mm,
        intensity_range=(0.0, top),
    )
    result = trialscan.segment(flair, protocol_with_model(tmp_path, "ms_flair_mri", "lesion"), tmp_path / "out")
    organ, lesions = masks(tmp_path / "out")
    assert (organ != (image.array > brain)).mean() < 1e-4
    assert (lesions != (image.array > bright)).mean() < 1e-4
    assert result.quality["organ_ml"] == pytest.approx((image.array > brain).sum() * image.voxel_ml, rel=1e-3)


def test_pet(real_data, tmp_path):
    patient = real_data / "sarcoma" / "STS_001"
    image = read_volume(patient / "PET_image.nii.gz", Units.SUV)
    tumour = read_mask(patient / "PET_mask.nii.gz", like=image).array > 0
    threshold_bundle(
        tmp_path, scaled(0.5, 0, 16), scaled(2.5, 0, 16), spacing_mm=image.spacing_mm, intensity_range=(0.0, 16.0)
    )
    protocol = protocol_with_model(tmp_path, "ct_tumour", "tumour")
    text = (
        protocol.read_text(encoding="utf-8").replace("modality: CT", "modality: PET").replace("units: HU", "units: SUV")
    )
    protocol.write_text(text.replace("[-1024, 1000]", "[0, 16]").replace("[40, 400]", "[5, 10]"), encoding="utf-8")
    result = trialscan.segment(patient / "PET_image.nii.gz", protocol, tmp_path / "out")
    organ, lesions = masks(tmp_path / "out")
    assert (organ != (image.array > 0.5)).mean() < 1e-4
    assert (lesions != (image.array > 2.5)).mean() < 1e-4
    assert lesions[tumour].mean() > 20 * lesions[~tumour].mean()  # the reader's tumour is where the SUV is high
    assert "intensity_range" not in result.flags


def test_ultrasound(tmp_path):
    rng = np.random.default_rng(3)
    across, deep = np.meshgrid(np.arange(96) - 48, np.arange(80), indexing="ij")
    sector = np.abs(across) < 8 + 0.5 * deep
    echo = np.where(sector, 60.0, 0.0)
    echo[(across - 5) ** 2 + (deep - 50) ** 2 < 12**2] = 190.0
    grey = (echo * rng.rayleigh(1.0, echo.shape) / 1.25).clip(0, 255).astype(np.uint8)
    Image.fromarray(grey.T).save(tmp_path / "frame.png")
    threshold_bundle(tmp_path, -0.7, 0.2, planar_size=96, grey_levels="stretch")
    protocol = protocol_with_model(tmp_path, "ultrasound_2d", "lesion")
    result = trialscan.segment(tmp_path / "frame.png", protocol, tmp_path / "out")
    low, high = np.percentile(grey, (0.5, 99.5))
    level = scaled(grey.astype(float), low, high)
    organ, lesions = (mask[..., 0] for mask in masks(tmp_path / "out"))
    assert (organ != (level > -0.7)).mean() < 1e-3
    assert (lesions != (level > 0.2)).mean() < 1e-3
    inside = (across - 5) ** 2 + (deep - 50) ** 2 < 12**2
    assert lesions[inside].mean() > 5 * lesions[~inside].mean()
    assert result.quality["organ_ml"] is None  # a frame without millimetres has no millilitres


def test_radiograph(tmp_path):
    picture = simulate_radiograph(990_001)
    grey = picture.image.array[..., 0]
    Image.fromarray((grey >> 8).astype(np.uint8).T if grey.dtype == np.uint16 else grey.T).save(tmp_path / "chest.png")
    trialscan.segment(tmp_path / "chest.png", "chest_xray", tmp_path / "out")
    organ, _ = masks(tmp_path / "out")
    there = picture.lungs.array > 0
    assert 2 * ((organ > 0) & there).sum() / ((organ > 0).sum() + there.sum()) >= 0.9


def test_ct(tmp_path):
    phantom = simulate_thorax(990_001, (3.0, 3.0, 4.0))
    write_volume(tmp_path / "chest.nii.gz", phantom.image)
    trialscan.segment(tmp_path / "chest.nii.gz", "covid_lung_ct", tmp_path / "out")
    for found, truth in zip(masks(tmp_path / "out"), (phantom.organ, phantom.lesions), strict=True):
        there = truth.array > 0
        assert 2 * ((found > 0) & there).sum() / ((found > 0).sum() + there.sum()) >= 0.75


def test_a_model_of_another_dimension_is_refused_in_every_modality(tmp_path):
    threshold_bundle(tmp_path, -0.5, 0.5, planar_size=96, grey_levels="stretch")
    protocol = protocol_with_model(tmp_path, "ms_flair_mri", "lesion")
    volume = Volume(np.zeros((12, 12, 12), np.int16), np.eye(4), Units.INTENSITY)
    write_volume(tmp_path / "volume.nii.gz", volume)
    with pytest.raises(SegmentationError, match="single image"):
        trialscan.segment(tmp_path / "volume.nii.gz", protocol, tmp_path / "out")
