"""Sliding windows weighted towards their centres, placed and weighted as by MONAI's `SlidingWindowInferer`."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

_SIGMA_SHARE = 0.125
_LEAST_WEIGHT = 1e-3
_AIR = -1.0

Region = tuple[slice, ...]


def slide(
    image: Tensor, network: Callable[[Tensor], Tensor], window: Sequence[int], overlap: float, compute: torch.device
) -> Tensor:
    """A network's answer to an image (1, channels, i, j[, k]) of any size, from windows of one size.

    Parameters
    ----------
    network : gives (1, classes, i, j[, k]) for each window, on `compute`; the sums are kept on the image's own device.
    window : its length along each axis; where the image is shorter, air is put around it.
    overlap : the share of its length that a window has in common with the next.
    """
    shape = image.shape[2:]
    before = [max(0, w - n) // 2 for w, n in zip(window, shape, strict=True)]
    after = [max(0, w - n) - b for w, n, b in zip(window, shape, before, strict=True)]
    padding = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
    padded = functional.pad(image, padding, value=_AIR)
    inner = (slice(None), slice(None), *(slice(b, b + n) for b, n in zip(before, shape, strict=True)))
    regions = list(_regions(padded.shape[2:], window, overlap))
    if len(regions) == 1:
        return network(padded.to(compute)).to(image.device)[inner]
    weight = _weights(window).to(image.device)
    total, answer = image.new_zeros(padded.shape[2:]), None
    for region in regions:
        place = (slice(None), slice(None), *region)
        found = network(padded[place].to(compute)).to(image.device)
        if answer is None:
            answer = image.new_zeros(1, found.shape[1], *padded.shape[2:])
        answer[place] += found * weight
        total[region] += weight
    if answer is None:
        raise ValueError("an image without a window")
    return (answer / total)[inner]


def _regions(shape: Sequence[int], window: Sequence[int], overlap: float) -> Iterator[Region]:
    """The windows' places; the last along each axis ends with the image."""
    starts = []
    for n, w in zip(shape, window, strict=True):
        step = max(1, int(w * (1 - overlap)))
        starts.append([min(index * step, n - w) for index in range(math.ceil((n - w) / step) + 1)])
    for corner in itertools.product(*starts):
        yield tuple(slice(first, first + w) for first, w in zip(corner, window, strict=True))


def _weights(window: Sequence[int]) -> Tensor:
    """A Gaussian whose standard deviation is an eighth of the window's length, nowhere below a thousandth."""
    weight = torch.ones(())
    for length in window:
        distance = torch.arange(length, dtype=torch.float32) - (length - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (distance / (_SIGMA_SHARE * length)) ** 2)
    return weight.clamp(min=max(_LEAST_WEIGHT, float(weight.min())))
