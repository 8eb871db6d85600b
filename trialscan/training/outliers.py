"""What the network's features look like on simulated scans, kept in the bundle to recognise scans unlike them."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from trialscan.imaging import Volume
from trialscan.phantom import simulate_radiograph
from trialscan.segmentation import BundleSegmenter
from trialscan.segmentation.engine import pooled
from trialscan.segmentation.outliers import FeatureReference, deepest_layer, fit_reference
from trialscan.training.assessment import fresh_scan

_EXAMPLE_LENGTH = 64


def feature_reference(segmenter: BundleSegmenter, seeds: Iterable[int]) -> FeatureReference:
    """The reference of one simulated scan a seed, passed through the network as a patient's scan is.

    Raises UsageError with fewer than ten seeds.
    """
    size = [_EXAMPLE_LENGTH] * len(segmenter.spec.window)
    layer = deepest_layer(segmenter.network, torch.zeros(1, 1, *size, device=segmenter.device))
    rows: list[NDArray[np.float64]] = [pooled(_scan(segmenter, seed), segmenter.loaded, layer) for seed in seeds]
    return fit_reference(np.array(rows), layer)


def _scan(segmenter: BundleSegmenter, seed: int) -> Volume:
    return simulate_radiograph(seed).image if segmenter.spec.kind == "planar" else fresh_scan(seed)[0].image
