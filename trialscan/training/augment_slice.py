"""Random pictures of axial CT slices: disease, density, noise, kernel, crop, window, and what pictures undergo."""

import numpy as np
import torch
from torch import Tensor

from trialscan.training.augment_planar import take_picture
from trialscan.training.augment_volume import patches, smooth
from trialscan.training.cases import Case
from trialscan.training.config import SliceAugmentation, TrainingConfig
from trialscan.training.disease import LUNG, Slice, paint_disease


def slice_patch(case: Case, config: TrainingConfig, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw one picture: image (1, size, size) of grey levels -1 … 1, and labels (size, size) as int64."""
    settings = config.slice
    scan = _crop(case, settings, rng)
    scan = Slice(_lung_density(scan, settings, rng), scan.labels)
    scan = paint_disease(scan, settings.disease, rng)
    image = _acquire(scan.image, settings, rng)
    low, high = rng.uniform(*settings.window_low_hu), rng.uniform(*settings.window_high_hu)
    return take_picture(((image - low) / (high - low)).clamp(0, 1), scan.labels, config, rng)


def _crop(case: Case, settings: SliceAugmentation, rng: np.random.Generator) -> Slice:
    """The whole slice, or a box about the lungs as published pictures are cut, at times into them."""
    image = torch.from_numpy(case.image[..., 0].astype(np.float32))
    labels = torch.from_numpy(case.labels[..., 0]).long()
    if len(case.boxes) == 0 or rng.random() >= settings.cropped:
        return Slice(image, labels)
    first, last = case.boxes[:, 0, :2].min(axis=0), case.boxes[:, 1, :2].max(axis=0)
    margin = rng.uniform(*settings.margin, (2, 2)) * max(last - first)
    shape = np.array(image.shape)
    lower = np.clip(np.round(first - margin[0]).astype(int), 0, shape - 2)
    upper = np.clip(np.round(last + margin[1]).astype(int), lower + 2, shape)
    box = tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))
    return Slice(image[box], labels[box])


def _lung_density(scan: Slice, settings: SliceAugmentation, rng: np.random.Generator) -> Tensor:
    """Another depth of breath, and at times lost tissue."""
    image = scan.image + rng.uniform(-1, 1) * settings.lung_offset_hu * (scan.labels == LUNG)
    if rng.random() < settings.emphysema:
        lost = patches(torch.Size((*image.shape, 1)), rng)[..., 0] * (scan.labels == LUNG)
        image = image - rng.uniform(*settings.emphysema_hu) * lost
    return image


def _acquire(image: Tensor, settings: SliceAugmentation, rng: np.random.Generator) -> Tensor:
    """A sharper kernel and more noise, of a grain that differs from scan to scan."""
    image = image + rng.uniform(*settings.sharpening) * (image - smooth(image[..., None], 1.0)[..., 0])
    grain = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    grain = smooth(grain[..., None], rng.uniform(0.0, 1.0))[..., 0]
    return image + rng.uniform(*settings.noise_hu) * grain / grain.std()
