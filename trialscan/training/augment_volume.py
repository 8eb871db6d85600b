"""Random patches of CT scans: crops, zoom, noise, blur, thick slices, missing field of view, calibration errors."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trialscan.segmentation.resampling import resample_image
from trialscan.training.cases import Case
from trialscan.training.config import Span, VolumeAugmentation

Indices = NDArray[np.int64]
_AIR_HU = -1024.0
_LUNG = 1


class PatchTask(Protocol):
    """What decides how a patch of CT is drawn."""

    @property
    def volume(self) -> VolumeAugmentation:
        """The random changes."""
        ...

    @property
    def intensity_range(self) -> Span | None:
        """HU that become -1 and 1."""
        ...

    @property
    def labels(self) -> Mapping[int, str]:
        """Name of each label."""
        ...

    @property
    def patch(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""
        ...


def volume_patch(case: Case, config: PatchTask, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw one patch: image (1, i, j, k) scaled to -1 … 1 and labels (i, j, k) as int64."""
    settings = config.volume
    low, high = config.intensity_range or (_AIR_HU, 600.0)
    image, labels = _crop(case, config, rng)
    image, labels = _flip(image, labels, settings, rng)
    image = _change_intensity(image, labels, settings, rng)
    if rng.random() < settings.field_cut:
        outside = torch.from_numpy(_outside_field(image.shape, rng))
        image = image.masked_fill(outside, _AIR_HU)
        labels = labels.masked_fill(outside, 0)
    scaled = (image.clamp(low, high) - low) * (2.0 / (high - low)) - 1.0
    return scaled[None], labels


def _draw(span: Span, rng: np.random.Generator) -> float:
    return float(rng.uniform(*span))


def _crop(case: Case, config: PatchTask, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Cut a box of random size and place, fill what lies outside the scan with air, and zoom it to the patch."""
    settings = config.volume
    zoom = _draw(settings.zoom, rng) * rng.uniform(0.95, 1.05, 3)
    size = np.maximum(8, np.round(np.array(config.patch) / zoom)).astype(int)
    lower, upper = region = _region(case, settings, rng)
    start = _start(case, settings, size, region, rng)
    image = np.full(size, _AIR_HU, dtype=np.float32)
    labels = np.zeros(size, dtype=np.uint8)
    first = np.maximum(start, lower)
    last = np.minimum(start + size, upper)
    if (last > first).all():
        source = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        target = tuple(slice(a, b) for a, b in zip(first - start, last - start, strict=True))
        image[target] = case.image[source]
        labels[target] = case.labels[source]
    zoomed = resample_image(torch.from_numpy(image), config.patch)
    return zoomed.contiguous(), majority_labels(torch.from_numpy(labels), config.patch, len(config.labels))


def majority_labels(labels: Tensor, shape: tuple[int, int, int], count: int) -> Tensor:
    """Labels 0 … count - 1 (i, j, k) on a grid of another shape: the one with the largest share of each voxel."""
    most, chosen = torch.zeros(shape), torch.zeros(shape, dtype=torch.int64)
    for label in range(count):
        share = resample_image((labels == label).float(), shape)
        chosen.masked_fill_(share > most, label)
        most = torch.maximum(most, share)
    return chosen


def _region(case: Case, settings: VolumeAugmentation, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """The part of the scan that the patch may show: all of it, or a box about one lung."""
    shape = np.array(case.image.shape)
    if len(case.boxes) == 0 or rng.random() >= settings.one_lung:
        return np.zeros(3, dtype=int), shape
    box = case.boxes[rng.integers(len(case.boxes))]
    margin = rng.integers(-4, 12, (2, 3))
    lower = np.maximum(0, box[0] - margin[0])
    upper = np.minimum(shape, box[1] + margin[1])
    return lower, upper


def _start(
    case: Case,
    settings: VolumeAugmentation,
    size: Indices,
    region: tuple[Indices, Indices],
    rng: np.random.Generator,
) -> Indices:
    """First voxel of the patch: about a voxel of a random lesion, or anywhere in the region.

    A lesion is drawn with a chance proportional to its diameter, so that large ones do not crowd out the small.
    """
    lower, upper = region
    if case.lesions and rng.random() < settings.lesion_centred:
        diameter = np.cbrt([lesion.size for lesion in case.lesions])
        lesion = case.lesions[rng.choice(len(case.lesions), p=diameter / diameter.sum())]
        voxel = np.array(np.unravel_index(lesion[rng.integers(lesion.size)], case.labels.shape))
        if (voxel >= lower).all() and (voxel < upper).all():
            wish = voxel - np.round(size * rng.uniform(*settings.placement, 3)).astype(int)
            return _inside(wish, size, lower, upper)
    overhang = np.minimum(size // 6, 12)
    ends = np.sort(np.stack([lower - overhang, upper + overhang - size]), axis=0)
    start: Indices = rng.integers(ends[0], ends[1] + 1)
    return start


def _inside(wish: Indices, size: Indices, lower: Indices, upper: Indices) -> Indices:
    """Move the patch so that it shows as much of the region as it can hold."""
    ends = np.sort(np.stack([lower, upper - size]), axis=0)
    moved: Indices = np.clip(wish, ends[0], ends[1])
    return moved


def _flip(
    image: Tensor, labels: Tensor, settings: VolumeAugmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    axes = [axis for axis, chance in enumerate(settings.flips) if rng.random() < chance]
    return (image.flip(axes), labels.flip(axes)) if axes else (image, labels)


def _change_intensity(image: Tensor, labels: Tensor, settings: VolumeAugmentation, rng: np.random.Generator) -> Tensor:
    """Another patient's lung density, another scanner's calibration, slices, kernel and noise."""
    lung_offset = rng.uniform(-1, 1) * settings.lung_offset_hu
    weights = torch.tensor([0.0, 1.0] + [0.5] * 8)
    image = image + lung_offset * weights[labels]
    if rng.random() < settings.emphysema:
        image = image - _draw(settings.emphysema_hu, rng) * patches(image.shape, rng) * (labels == _LUNG)
    gain = 1 + rng.uniform(-1, 1) * settings.gain
    image = (image.clamp(min=_AIR_HU) - _AIR_HU) * gain + _AIR_HU + rng.uniform(-1, 1) * settings.offset_hu
    if rng.random() < settings.thick_slices:
        image = _coarsen(image, _draw(settings.thick_voxels, rng), [int(rng.choice(3, p=[0.15, 0.15, 0.7]))])
    if rng.random() < settings.coarse:
        image = _coarsen(image, _draw(settings.coarse_voxels, rng), [0, 1, 2])
    if rng.random() < settings.blur:
        image = smooth(image, _draw(settings.blur_voxels, rng))
    grain = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    if rng.random() < settings.correlated_noise:
        grain = smooth(grain, float(rng.uniform(0.4, 1.0)))
        grain = grain / grain.std()
    return image + grain * _draw(settings.noise_hu, rng) * float(rng.random())


def patches(shape: torch.Size, rng: np.random.Generator) -> Tensor:
    """A smooth random field of 0 … 1 that is 0 over about half of the patch: where lung tissue is lost."""
    coarse = torch.from_numpy(rng.uniform(-1, 1, rng.integers(3, 9, 3)).astype(np.float32))
    return resample_image(coarse, shape).mul(2).clamp(0, 1)


def _coarsen(image: Tensor, factor: float, axes: Sequence[int]) -> Tensor:
    """Average along axes as voxels `factor` times as long would, and interpolate back."""
    coarse = [max(2, round(n / factor)) if axis in axes else n for axis, n in enumerate(image.shape)]
    return resample_image(resample_image(image, coarse), image.shape)


def smooth(image: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing of the last three axes; `sigma` in voxels, the edge repeated."""
    if sigma < 0.2:
        return image
    radius = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in range(image.ndim - 3, image.ndim):
        length = image.shape[axis]
        if length == 1:
            continue
        matrix = np.zeros((length, length), dtype=np.float32)
        for shift, tap in zip(range(-radius, radius + 1), taps, strict=True):
            np.add.at(matrix, (np.arange(length), np.clip(np.arange(length) + shift, 0, length - 1)), tap)
        image = torch.movedim(torch.tensordot(torch.from_numpy(matrix), image, dims=([1], [axis])), 0, axis)
    return image


def _outside_field(shape: torch.Size, rng: np.random.Generator) -> np.ndarray:
    """True outside a random circular field of view (in-plane), or beyond random ends of the scan."""
    i, j, k = (
        np.arange(n, dtype=np.float32)[:, None, None].reshape([-1 if a == b else 1 for b in range(3)])
        for a, n in enumerate(shape)
    )
    if rng.random() < 0.6:
        center = rng.uniform(0.3, 0.7, 2) * np.array(shape[:2])
        radius = rng.uniform(0.4, 0.75) * max(shape[:2])
        outside = (i - center[0]) ** 2 + (j - center[1]) ** 2 > radius**2
        return np.broadcast_to(outside, tuple(shape)).copy()
    first, last = rng.uniform(0, 0.3) * shape[2], shape[2] * (1 - rng.uniform(0, 0.3))
    return np.broadcast_to((k < first) | (k > last), tuple(shape)).copy()
