"""Deformable registration by local correlation in torch, on a CPU or a GPU, with forces off inside lesions.

Each step follows the gradient of the squared local correlation in windows of five voxels (Avants et al. 2008, both
pictures' gradients averaged as in symmetric demons), smoothed like a fluid, applied by composition so that the field
stays invertible, and the whole field smoothed like an elastic body; from coarse grids to fine. The longest step
has a fixed length, since the metric has no scale of its own; against it stands the elastic smoothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
import torch
from numpy.typing import NDArray
from torch import Tensor

from trialscan.errors import RegistrationError
from trialscan.registration.candidate import Candidate, settle
from trialscan.registration.demons import shrunk
from trialscan.registration.linear import pyramid
from trialscan.registration.scene import INTENSITY_SCALE, Scene
from trialscan.registration.tensors import (
    affine_positions,
    box_mean,
    gaussian,
    gradient,
    grid_positions,
    lengths,
    sample,
)
from trialscan.segmentation import choose_device

_ITERATIONS = {4: 60, 2: 60, 1: 25}
_WINDOW_RADIUS = 2
_STEP_VOXELS = 0.4
_STEP_SIGMA_VOXELS = 1.5
_FIELD_SIGMA_VOXELS = 1.5
_NOISE_VARIANCE = (0.02 * INTENSITY_SCALE) ** 2
_SMALLEST_STEP = 1e-6


class TorchEngine:
    """The deformable rung alone; `device` as for networks: auto, cpu, cuda or cuda:N."""

    name = "torch"
    rungs: Sequence[str] = ("deformable",)

    def __init__(self, device: str) -> None:
        self._device = choose_device(device)

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:  # noqa: ARG002 - it has only one
        """Add a displacement field to the affine part of `best`.

        Raises
        ------
        RegistrationError
            The device has too little memory.
        """
        try:
            with torch.inference_mode():
                return register_torch(scene, best, self._device)
        except torch.OutOfMemoryError as error:
            raise RegistrationError(
                "deformable", f"{self._device.type} is out of memory", "room for some 100 bytes a voxel of the grid"
            ) from error


@dataclass(frozen=True)
class Level:
    """Both pictures of one pyramid level, background 0; `matrix`, `offset` take fixed indices to moving ones.

    `fixed_sound`, `moving_sound` are 1 where there is no lesion, else 0; None when neither scan has any.
    """

    fixed: Tensor
    moving: Tensor
    matrix: Tensor
    offset: Tensor
    fixed_sound: Tensor | None
    moving_sound: Tensor | None


def register_torch(scene: Scene, start: Candidate, device: torch.device) -> Candidate:
    """`start` with a field that raises the local correlation of the two scans."""
    grid, field = scene.fixed, None
    for factor in pyramid(scene.fixed, tuple(_ITERATIONS)):
        coarse, grid = grid, shrunk(scene.fixed, factor)
        level = _level(scene, start, factor, device)
        field = _climb(level, _carried(field, coarse, grid, level.fixed), _ITERATIONS[factor])
    field = torch.zeros(3, *scene.fixed.GetSize()[::-1], device=device) if field is None else field
    values = field.permute(1, 2, 3, 0).cpu().numpy().astype(np.float64) @ _axes(grid).T
    warp = sitk.GetImageFromArray(values, isVector=True)
    warp.CopyInformation(grid)
    return Candidate(start.matrix, start.offset, settle(sitk.Resample(warp, scene.fixed), scene))


def _level(scene: Scene, start: Candidate, factor: int, device: torch.device) -> Level:
    fixed, moving = shrunk(scene.fixed, factor), shrunk(scene.moving, factor)
    matrix = start.matrix @ _axes(fixed)
    origin = start.matrix @ np.asarray(fixed.GetOrigin()) + start.offset - np.asarray(moving.GetOrigin())
    to_index = np.linalg.inv(_axes(moving))
    sound: list[Tensor | None] = [None, None]
    if scene.fixed_lesions is not None or scene.moving_lesions is not None:
        sound = [
            _sound(lesions, image, device)
            for lesions, image in ((scene.fixed_lesions, fixed), (scene.moving_lesions, moving))
        ]
    return Level(
        _tensor(fixed, device) - scene.background,
        _tensor(moving, device) - scene.background,
        torch.tensor(to_index @ matrix, dtype=torch.float32, device=device),
        torch.tensor(to_index @ origin, dtype=torch.float32, device=device),
        sound[0],
        sound[1],
    )


def _climb(level: Level, field: Tensor, iterations: int) -> Tensor:
    """Improve a field, in voxels of the level's fixed grid."""
    places = grid_positions(level.fixed.shape, field.device)
    steady = gradient(level.fixed)
    mean = box_mean(level.fixed[None], _WINDOW_RADIUS)[0]
    variance = box_mean((level.fixed * level.fixed)[None], _WINDOW_RADIUS)[0] - mean * mean
    for _ in range(iterations):
        there = affine_positions(places + field, level.matrix, level.offset)
        moved = sample(level.moving[None], there, beyond="zeros")[0]
        force = _force(level.fixed, mean, variance, steady, moved)
        if level.fixed_sound is not None and level.moving_sound is not None:
            force *= level.fixed_sound * (sample(level.moving_sound[None], there, beyond="border")[0] == 1)
        step = gaussian(force, _STEP_SIGMA_VOXELS)
        step *= _STEP_VOXELS / lengths(step).max().clamp(min=_SMALLEST_STEP)
        field = gaussian(step + sample(field, places + step, beyond="border"), _FIELD_SIGMA_VOXELS)
    return field


def _force(fixed: Tensor, mean: Tensor, variance: Tensor, steady: Tensor, moved: Tensor) -> Tensor:
    """Direction in which the squared local correlation of both pictures rises, at every voxel."""
    mean_moved = box_mean(moved[None], _WINDOW_RADIUS)[0]
    variance_moved = box_mean((moved * moved)[None], _WINDOW_RADIUS)[0] - mean_moved * mean_moved
    covariance = box_mean((fixed * moved)[None], _WINDOW_RADIUS)[0] - mean * mean_moved
    here, there = 1 / (variance.clamp(min=0) + _NOISE_VARIANCE), 1 / (variance_moved.clamp(min=0) + _NOISE_VARIANCE)
    a, b = fixed - mean, moved - mean_moved
    weight = covariance * here * there
    return weight * ((a - covariance * there * b) * gradient(moved) + (covariance * here * a - b) * steady)


def _sound(lesions: sitk.Image | None, image: sitk.Image, device: torch.device) -> Tensor:
    """1 where a level's voxel holds no lesion, else 0."""
    if lesions is None:
        return torch.ones(image.GetSize()[::-1], device=device)
    share = sitk.Resample(lesions, image, sitk.Transform(), sitk.sitkLinear, 0.0)
    return (_tensor(share, device) <= 0).float()


def _carried(field: Tensor | None, coarse: sitk.Image, fine: sitk.Image, like: Tensor) -> Tensor:
    """A field of one grid on a finer one along the same axes, in the finer one's voxels; zeros to begin with."""
    if field is None:
        return torch.zeros(3, *like.shape, device=like.device)
    to_coarse = np.linalg.inv(_axes(coarse))
    scale = to_coarse @ _axes(fine)
    offset = to_coarse @ (np.asarray(fine.GetOrigin()) - np.asarray(coarse.GetOrigin()))
    matrix, shift = (torch.tensor(a, dtype=torch.float32, device=like.device) for a in (scale, offset))
    places = affine_positions(grid_positions(like.shape, like.device), matrix, shift)
    finer = torch.tensor(1 / np.diag(scale), dtype=torch.float32, device=like.device).reshape(3, 1, 1, 1)
    return sample(field, places, beyond="border") * finer


def _axes(image: sitk.Image) -> NDArray[np.float64]:
    """Columns: one voxel along i, j, k, in the scene's unit."""
    axes: NDArray[np.float64] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    return axes


def _tensor(image: sitk.Image, device: torch.device) -> Tensor:
    return torch.from_numpy(sitk.GetArrayFromImage(image).astype(np.float32)).to(device)
