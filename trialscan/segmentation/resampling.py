"""Separable linear resampling between grids that span the same box, with anti-aliasing when the grid gets coarser.

Grids are matched by the extent of their voxels' edges, so the inverse mapping is exact: a scan goes to the model's
grid and the model's probabilities come back without a shift of half a voxel.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def target_shape(
    shape: Sequence[int], spacing: Sequence[float], target_spacing: Sequence[float]
) -> tuple[int, int, int]:
    """Voxels along i, j, k of the grid over the same box whose spacing is nearest to the target."""
    i, j, k = (max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target_spacing, strict=True))
    return i, j, k


def axis_weights(source: int, target: int) -> Tensor:
    """Matrix (target, source) of linear-interpolation weights; rows sum to 1.

    Finer targets interpolate between the two nearest voxel centres (the nearest alone beyond the outermost centres);
    coarser ones average under a triangle as wide as two target voxels, which removes what they cannot hold.
    """
    step = source / target
    center = (np.arange(target) + 0.5) * step - 0.5
    half_width = max(step, 1.0)
    distance = np.abs(np.clip(center, 0, source - 1)[:, None] - np.arange(source)[None, :])
    weights = np.clip(1.0 - distance / half_width, 0.0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return torch.from_numpy(weights.astype(np.float32))


def interpolation_weights(source: int, target: int) -> Tensor:
    """Matrix (target, source) that interpolates between the two nearest voxel centres, on coarser grids too."""
    center = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    distance = np.abs(center[:, None] - np.arange(source)[None, :])
    return torch.from_numpy(np.clip(1.0 - distance, 0.0, None).astype(np.float32))


def nearest_weights(source: int, target: int) -> Tensor:
    """Matrix (target, source) that takes the voxel whose centre is nearest, half-way the next."""
    center = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    chosen = np.clip(np.floor(center + 0.5).astype(int), 0, source - 1)
    return torch.from_numpy(np.eye(source, dtype=np.float32)[chosen])


def resample_axis(image: Tensor, axis: int, size: int) -> Tensor:
    """Resample one axis of a float tensor to a new size; returns the tensor itself where nothing changes."""
    if image.shape[axis] == size:
        return image
    return weigh_axis(image, axis, axis_weights(image.shape[axis], size))


def weigh_axis(image: Tensor, axis: int, weights: Tensor) -> Tensor:
    """Replace the values along one axis (counted from the first) by weighted sums of them; weights (new, old)."""
    weights = weights.to(image.device, image.dtype)
    before, after = math.prod(image.shape[:axis]), math.prod(image.shape[axis + 1 :])
    if after == 1:
        sums = image.reshape(before, -1) @ weights.T
    else:
        sums = torch.bmm(weights.expand(before, -1, -1), image.reshape(before, -1, after))
    return sums.reshape(*image.shape[:axis], len(weights), *image.shape[axis + 1 :])


def resample_image(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample the last three axes of a float tensor to `shape`, the most shrinking axis first."""
    offset = image.ndim - 3
    order = sorted(range(3), key=lambda axis: shape[axis] / image.shape[offset + axis])
    for axis in order:
        image = resample_axis(image, offset + axis, shape[axis])
    return image
