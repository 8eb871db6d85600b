"""Random versions of simulated pictures: posture and framing, exposure and processing, labels, noise, blur."""

import math
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from trialscan.segmentation.preparation import LEVELLING, into_square, planar_shape, square_window
from trialscan.training.augment_volume import smooth
from trialscan.training.cases import Case
from trialscan.training.config import PlanarAugmentation, TrainingConfig


def planar_patch(case: Case, config: TrainingConfig, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw one picture: image (1, size, size) of grey levels -1 … 1, and labels (size, size) as int64."""
    image = torch.from_numpy(case.image[..., 0].astype(np.float32))
    return take_picture(image, torch.from_numpy(case.labels[..., 0]), config, rng)


class PictureTask(Protocol):
    """What decides how a picture is taken."""

    @property
    def planar(self) -> PlanarAugmentation:
        """The random changes."""
        ...

    @property
    def grey_levels(self) -> Literal["equalise", "stretch"]:
        """What is done to grey levels last."""
        ...

    @property
    def patch(self) -> tuple[int, int, int]:
        """Pixels of the square, twice, and 1."""
        ...


def take_picture(image: Tensor, labels: Tensor, config: PictureTask, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random picture of grey levels 0 … 1 (i, j) and its labels, as the network sees it."""
    settings = config.planar
    size = config.patch[0]
    image, labels = _reframe(image, labels, settings, size, rng)
    image = _process(image, settings, rng)
    image = _overlay(image, settings, rng)
    if settings.quarter_turns:
        turns = int(rng.integers(4))
        image, labels = torch.rot90(image, turns), torch.rot90(labels, turns)
    square = torch.zeros((size, size), dtype=torch.int64)
    square[square_window(labels.shape, size)] = labels
    return into_square(LEVELLING[config.grey_levels](image), size)[None], square


def _reframe(
    image: Tensor, labels: Tensor, settings: PlanarAugmentation, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Turn, zoom, shift, mirror and stretch the picture into a frame of random proportions."""
    source = np.array(image.shape, dtype=float)
    frame = planar_shape((int(source[0] * 64), int(source[1] * 64 * rng.uniform(0.85, 1.2)), 1), size)[:2]
    angle = math.radians(rng.uniform(-1, 1) * settings.rotation_deg)
    zoom = rng.uniform(*settings.zoom) * rng.uniform(0.9, 1.1, 2)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    shift = rng.uniform(-1, 1, 2) * settings.shift * 2
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    scale = np.diag([source[0] / source[1], 1.0])
    matrix = np.linalg.inv(scale) @ turn @ scale @ np.diag([mirror / zoom[0], 1 / zoom[1]])
    theta = np.column_stack([matrix[::-1, ::-1], shift[::-1]])
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(theta).float()[None], [1, 1, frame[0], frame[1]], align_corners=False
    )
    padding = "border" if rng.random() < 0.5 else "zeros"
    moved = torch.nn.functional.grid_sample(image[None, None], grid, padding_mode=padding, align_corners=False)
    masks = torch.nn.functional.grid_sample(labels[None, None].float(), grid, mode="nearest", align_corners=False)
    return moved[0, 0], masks[0, 0].long()


def _process(image: Tensor, settings: PlanarAugmentation, rng: np.random.Generator) -> Tensor:
    """Another machine: gamma, tone curve, uneven exposure, local contrast, blur and noise."""
    image = image.clamp(0, 1) ** float(np.exp(rng.uniform(*np.log(settings.gamma))))
    image = image + rng.uniform(-1, 1) * settings.curve * torch.sin(2 * math.pi * image) / (2 * math.pi)
    i, j = (torch.linspace(-1, 1, n) for n in image.shape)
    a, b, c = rng.uniform(-1, 1, 3) * settings.shading
    image = image * (1 + a * i[:, None] + b * j[None, :] + c * (i[:, None] ** 2 + j[None, :] ** 2))
    if rng.random() < settings.local_contrast:
        image = image - rng.uniform(0.2, 0.8) * smooth(image[..., None], rng.uniform(10, 40))[..., 0]
    if rng.random() < 0.5:
        image = smooth(image[..., None], rng.uniform(*settings.blur_pixels))[..., 0]
    grain = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    return image + grain * image.std() * float(rng.uniform(*settings.noise))


def _overlay(image: Tensor, settings: PlanarAugmentation, rng: np.random.Generator) -> Tensor:
    """Burnt-in labels, bright or dark, and collimated borders."""
    low, high = float(image.min()), float(image.max())
    width, height = image.shape
    image = image.clone()
    if rng.random() < settings.labels:
        for _ in range(rng.integers(1, 5)):
            w, h = rng.integers(4, max(5, width // 4)), rng.integers(3, max(4, height // 12))
            x, y = rng.integers(0, width - w), rng.integers(0, height - h)
            letters = torch.from_numpy(rng.random((int(w), int(h))) < rng.uniform(0.3, 1.0))
            ink = high if rng.random() < 0.7 else low
            image[x : x + w, y : y + h] = torch.where(letters, torch.tensor(ink), image[x : x + w, y : y + h])
    if rng.random() < settings.collimation:
        left, right = (rng.uniform(0, 0.12, 2) * width).astype(int)
        top, bottom = (rng.uniform(0, 0.12, 2) * height).astype(int)
        border = torch.ones_like(image, dtype=torch.bool)
        border[left : width - right, top : height - bottom] = False
        image = image.masked_fill(border, low if rng.random() < 0.8 else high)
    return image
