"""Calibration of the lesion volume: one number added to the lesions' logits, found on simulated scans.

A network is unbiased for single voxels, not for volumes: it leaves out what is faint. The shift is chosen so that over
scans kept for this purpose alone, the median volume found equals the true one.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trialscan.errors import UsageError
from trialscan.segmentation import BundleSegmenter
from trialscan.segmentation.preparation import prepare_volume
from trialscan.training.assessment import fresh_scan

_FIRST_LESION = 2
_SHIFTS = np.linspace(-1.5, 1.5, 61)


def lesion_shift(segmenter: BundleSegmenter, seeds: Iterable[int]) -> float:
    """The shift of the lesion logits at which the median of found ÷ true lesion volume is nearest to 1.

    Seeds must be neither those trained on nor those that the model is assessed with; scans without lesions are left
    out. Raises UsageError when none has lesions.
    """
    ratios = [ratio for seed in seeds if (ratio := _ratios(segmenter, seed)) is not None]
    if not ratios:
        raise UsageError("calibration", "no scan with lesions", "at least one", "Take more seeds.")
    error = np.abs(np.log(np.maximum(np.median(np.stack(ratios), axis=0), 1e-6)))
    return float(_SHIFTS[int(np.argmin(error))])


def shift_logits(
    weights: dict[str, Tensor], network: nn.Module, labels: Sequence[int], shift: float
) -> dict[str, Tensor]:
    """Weights whose network adds `shift` to the logits of `labels`: the bias of its last convolution."""
    *_, last = (name for name, module in network.named_modules() if isinstance(module, nn.Conv3d | nn.Conv2d))
    bias = weights[f"{last}.bias"].clone()
    bias[list(labels)] += shift
    return weights | {f"{last}.bias": bias}


def _ratios(segmenter: BundleSegmenter, seed: int) -> NDArray[np.float64] | None:
    """Found ÷ true lesion volume at every shift tried; None for a scan without lesions."""
    phantom, _ = fresh_scan(seed)
    truth_ml = float((phantom.lesions.array > 0).sum() * phantom.lesions.voxel_ml)
    if truth_ml == 0:
        return None
    image = prepare_volume(phantom.image, segmenter.spec, segmenter.device)
    with torch.inference_mode():
        logits = segmenter.network(nn.functional.pad(image, _padding(image), value=-1.0))[0]
    inside = logits[(slice(None), *(slice(n) for n in image.shape[2:]))]
    margin = inside[_FIRST_LESION:].amax(0) - inside[:_FIRST_LESION].amax(0)
    voxel_ml = phantom.image.array.size * phantom.image.voxel_ml / margin.numel()
    ordered = np.sort(margin.cpu().numpy().ravel())
    found = ordered.size - np.searchsorted(ordered, -_SHIFTS, side="right")
    ratio: NDArray[np.float64] = found * (voxel_ml / truth_ml)
    return ratio


def _padding(image: Tensor, step: int = 16) -> list[int]:
    """Voxels to add behind each axis, last axis first, to make its length a multiple of the step."""
    return [amount for n in reversed(image.shape[2:]) for amount in (0, -n % step)]
