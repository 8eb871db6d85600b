"""Pictures and fields as tensors (component, k, j, i), and what deformable registration does with them.

Every operation is elementwise or gathers, with its sums in a written order: the number of threads changes no bit.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

_GAUSSIAN_REACH = 3.0


def gaussian(x: Tensor, sigma_voxels: float) -> Tensor:
    """Smooth along all three axes; the border values go on outside."""
    reach = math.ceil(_GAUSSIAN_REACH * sigma_voxels)
    half = [math.exp(-0.5 * (offset / sigma_voxels) ** 2) for offset in range(reach + 1)]
    total = half[0] + 2 * sum(half[1:])
    return _symmetric_filter(x, [weight / total for weight in half])


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over the cube of 2 · radius + 1 voxels around each voxel."""
    return _symmetric_filter(x, [1 / (2 * radius + 1)] * (radius + 1))


def _symmetric_filter(x: Tensor, half: list[float]) -> Tensor:
    """Convolve every axis with the kernel whose middle and right half are given."""
    reach = len(half) - 1
    for axis in (1, 2, 3):
        padding = [0] * 6
        padding[2 * (3 - axis)] = padding[2 * (3 - axis) + 1] = reach
        padded, length = functional.pad(x[None], padding, mode="replicate")[0], x.shape[axis]
        x = padded.narrow(axis, reach, length) * half[0]
        for offset in range(1, reach + 1):
            sides = padded.narrow(axis, reach - offset, length) + padded.narrow(axis, reach + offset, length)
            x.add_(sides, alpha=half[offset])
    return x


def gradient(picture: Tensor) -> Tensor:
    """Central differences of a (k, j, i) picture along i, j, k, per voxel; 0 on the border."""
    parts = torch.zeros(3, *picture.shape, dtype=picture.dtype, device=picture.device)
    for part, axis in zip(parts, (2, 1, 0), strict=True):
        inner = picture.shape[axis] - 2
        if inner > 0:
            part.narrow(axis, 1, inner).copy_((picture.narrow(axis, 2, inner) - picture.narrow(axis, 0, inner)) / 2)
    return parts


def grid_positions(shape: torch.Size | tuple[int, ...], device: torch.device) -> Tensor:
    """The index (i, j, k) of every voxel of a (k, j, i) picture, as a field."""
    k, j, i = torch.meshgrid(*(torch.arange(n, dtype=torch.float32, device=device) for n in shape), indexing="ij")
    return torch.stack([i, j, k])


def affine_positions(positions: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """matrix · p + offset at every voxel of a field."""
    rows = [r[0] * positions[0] + r[1] * positions[1] + r[2] * positions[2] for r in matrix]
    return torch.stack([row + shift for row, shift in zip(rows, offset, strict=True)])


def sample(picture: Tensor, positions: Tensor, *, beyond: str) -> Tensor:
    """Linear interpolation of (c, k, j, i) at indices (i, j, k); `beyond` it "zeros", or its "border" values go on."""
    size = torch.tensor(picture.shape[:0:-1], dtype=torch.float32, device=picture.device).reshape(3, 1, 1, 1)
    grid = (positions * (2 / (size - 1).clamp(min=1)) - 1).permute(1, 2, 3, 0)[None]
    return functional.grid_sample(picture[None], grid, mode="bilinear", padding_mode=beyond, align_corners=True)[0]


def lengths(field: Tensor) -> Tensor:
    """Euclidean length of the vector at every voxel."""
    return torch.sqrt(field[0] * field[0] + field[1] * field[1] + field[2] * field[2])
