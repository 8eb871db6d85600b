"""Scans as a network sees them."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trialscan.errors import SegmentationError
from trialscan.imaging import Units, Volume, fill_nonfinite
from trialscan.segmentation.resampling import resample_image, target_shape
from trialscan.segmentation.specification import ModelSpecification

STRETCH_PERCENTILES = (0.5, 99.5)
_GREY_LEVELS = 256
_SLAB_VALUES = 8_000_000
_MOST_VOXELS = 2**27


def prepare_volume(volume: Volume, spec: ModelSpecification, device: torch.device) -> Tensor:
    """An LPS-oriented scan on the model's grid: (1, 1, i, j, k) float32 in -1 … 1; NaN counts as the lowest value.

    The scan is worked in slabs of slices, so that beside it no more is held than a slab and the reduced image; its
    array may be a view of another. Raises SegmentationError where the model's grid would hold more than 134 million
    voxels (512³).
    """
    if spec.intensity_range is None or spec.spacing_mm is None:
        raise SegmentationError("model", "a planar model", "a volume model for a scan of several slices")
    low, high = spec.intensity_range
    shape = target_shape(volume.shape, volume.spacing_mm, spec.spacing_mm)
    _require_bounded(volume, shape)
    reduced = torch.empty((volume.shape[2], shape[1], shape[0]), device=device)
    thickness = max(1, _SLAB_VALUES // (volume.shape[0] * volume.shape[1]))
    for first in range(0, volume.shape[2], thickness):
        part = volume.array[:, :, first : first + thickness].transpose(2, 1, 0)
        slab = torch.from_numpy(_native_float32(part)).to(device)
        slab = slab.nan_to_num_(nan=low, posinf=high, neginf=low).clamp_(low, high)
        reduced[first : first + thickness] = resample_image(slab, (len(slab), *reduced.shape[1:]))
    image = resample_image(reduced, (shape[2], shape[1], shape[0])).permute(2, 1, 0)
    return ((image - low) * (2.0 / (high - low)) - 1.0)[None, None].contiguous()


def _require_bounded(volume: Volume, shape: tuple[int, int, int]) -> None:
    if math.prod(shape) > _MOST_VOXELS:
        raise SegmentationError(
            "scan",
            f"{' × '.join(f'{n * s:.0f}' for n, s in zip(volume.shape, volume.spacing_mm, strict=True))} mm, which is "
            f"{' × '.join(map(str, shape))} voxels of the model",
            f"at most {_MOST_VOXELS // 10**6} million",
            "Is the spacing in the header right? A crop to the region of interest helps too.",
        )


def planar_shape(shape: tuple[int, int, int], size: int) -> tuple[int, int, int]:
    """The shape whose longer side is `size`, with the image's own proportions."""
    scale = size / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale)), 1


def prepare_planar(volume: Volume, spec: ModelSpecification, device: torch.device) -> Tensor:
    """A planar image, resized, its grey levels brought to -1 … 1, centred in a square: (1, 1, size, size) float32."""
    if spec.planar_size is None:
        raise SegmentationError("model", "a volume model", "a planar model for a single image")
    array = fill_nonfinite(_native_float32(volume.array))
    if spec.intensity_range is not None and volume.units is Units.HU:
        array = array.clip(*spec.intensity_range)
    image = resample_image(torch.from_numpy(array), planar_shape(volume.shape, spec.planar_size))
    level = LEVELLING[spec.grey_levels]
    return into_square(level(image[..., 0]), spec.planar_size)[None, None].to(device)


def into_square(image: Tensor, size: int) -> Tensor:
    """Centre an (i, j) image in a square of `size`; the border is -1."""
    square = image.new_full((size, size), -1.0)
    square[square_window(image.shape, size)] = image
    return square


def square_window(shape: torch.Size | tuple[int, ...], size: int) -> tuple[slice, slice]:
    """Where an image of this shape lies within its square."""
    first, second = ((size - n) // 2 for n in shape[:2])
    return slice(first, first + shape[0]), slice(second, second + shape[1])


def equalise(image: Tensor) -> Tensor:
    """Histogram equalisation to -1 … 1: each pixel becomes the share of pixels darker than it, ties at their middle.

    It makes the result independent of exposure, window and gamma. A constant image becomes 0.
    """
    low, high = image.min(), image.max()
    if high <= low:
        return torch.zeros_like(image)
    level = ((image - low) / (high - low) * (_GREY_LEVELS - 1)).round().long()
    count = torch.bincount(level.flatten(), minlength=_GREY_LEVELS).double()
    middle = (count.cumsum(0) - 0.5 * count) / count.sum()
    return (middle[level] * 2 - 1).float()


def stretch(image: Tensor) -> Tensor:
    """Grey levels from the 0.5th to the 99.5th percentile stretched to -1 … 1, those beyond cut off.

    MONAI's `ScaleIntensityRangePercentiles` with these percentiles. A constant image becomes 0.
    """
    low, high = np.percentile(image.numpy(), STRETCH_PERCENTILES)
    if high <= low:
        return torch.zeros_like(image)
    return ((image - float(low)) * (2.0 / float(high - low)) - 1.0).clamp(-1, 1)


LEVELLING: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType({"equalise": equalise, "stretch": stretch})


def _native_float32(array: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.array(array, dtype=np.float32, order="C")
