"""Random changes of volumes of any modality, by MONAI's transforms."""

from typing import Annotated

import monai.transforms as mt
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trialscan.study.section import Section

Probability = Annotated[float, Field(ge=0, le=1)]
Span = tuple[float, float]
_IMAGE, _LABELS = "image", "labels"


class GenericAugmentation(Section):
    """Random changes of a patch whose values lie in -1 … 1; each span is drawn uniformly, each change by its chance.

    flips : chance along each axis. affine, rotation_deg, zoom : of turning about every axis and scaling each.
    noise : its largest SD. blur_voxels : SD of a Gaussian. brightness : the largest offset; contrast, gamma : factors.
    bias_field : strength of MONAI's smooth field, as coils of MR make it.
    """

    flips: tuple[Probability, ...] = (0.5, 0.5, 0.5)
    affine: Probability = 0.5
    rotation_deg: float = 15.0
    zoom: Span = (0.85, 1.2)
    noise: float = 0.1
    noise_chance: Probability = 0.3
    blur_voxels: Span = (0.3, 1.0)
    blur_chance: Probability = 0.2
    brightness: float = 0.1
    contrast: Span = (0.8, 1.25)
    contrast_chance: Probability = 0.3
    gamma: Span = (0.7, 1.5)
    gamma_chance: Probability = 0.3
    bias_field: float = 0.3
    bias_chance: Probability = 0.0


def augment(
    image: Tensor, labels: Tensor, settings: GenericAugmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A random version of a patch: image (channels, i, j[, k]) in -1 … 1, labels (i, j[, k]) as int64."""
    steps = mt.Compose(_geometry(settings, image.ndim - 1) + _intensity(settings))
    steps.set_random_state(int(rng.integers(2**31)))
    found = steps({_IMAGE: image + 1.0, _LABELS: labels[None].float()})
    changed, turned = (torch.as_tensor(found[name]) for name in (_IMAGE, _LABELS))
    return (changed - 1.0).clamp(-1.0, 1.0).float().contiguous(), turned[0].round().long().contiguous()


def _geometry(settings: GenericAugmentation, axes: int) -> list[mt.Transform]:
    """Images are lifted by 1, so that what is turned in from outside is the lowest value."""
    keys = (_IMAGE, _LABELS)
    angle = np.deg2rad(settings.rotation_deg)
    scale = (settings.zoom[0] - 1.0, settings.zoom[1] - 1.0)
    flips = [mt.RandFlipd(keys, prob=chance, spatial_axis=axis) for axis, chance in enumerate(settings.flips[:axes])]
    affine = mt.RandAffined(
        keys,
        prob=settings.affine,
        rotate_range=[(-angle, angle)] * (3 if axes == 3 else 1),
        scale_range=[scale] * axes,
        mode=("bilinear", "nearest"),
        padding_mode="zeros",
    )
    return [*flips, affine]


def _intensity(settings: GenericAugmentation) -> list[mt.Transform]:
    low, high = settings.contrast
    return [
        mt.RandBiasFieldd(_IMAGE, coeff_range=(0.0, settings.bias_field), prob=settings.bias_chance),
        mt.RandGaussianSmoothd(_IMAGE, *[settings.blur_voxels] * 3, prob=settings.blur_chance),
        mt.RandAdjustContrastd(_IMAGE, prob=settings.gamma_chance, gamma=settings.gamma),
        mt.RandScaleIntensityd(_IMAGE, factors=(low - 1.0, high - 1.0), prob=settings.contrast_chance),
        mt.RandShiftIntensityd(_IMAGE, offsets=settings.brightness, prob=settings.contrast_chance),
        mt.RandGaussianNoised(_IMAGE, prob=settings.noise_chance, std=settings.noise),
    ]
