"""What the network's features look like on simulated scans, kept in the bundle to recognise scans unlike them."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from trialscan.imaging import Volume
from trialscan.segmentation import BundleSegmenter
from trialscan.segmentation.engine import pooled
from trialscan.segmentation.outliers import FeatureReference, deepest_layer, fit_reference

_EXAMPLE_LENGTH = 64


def feature_reference(segmenter: BundleSegmenter, scans: Iterable[Volume]) -> FeatureReference:
    """The reference of simulated scans like those trained on, passed through the network as a patient's scan is.

    Raises UsageError with fewer than ten scans.
    """
    size = [_EXAMPLE_LENGTH] * len(segmenter.spec.window)
    layer = deepest_layer(segmenter.network, torch.zeros(1, 1, *size, device=segmenter.device))
    rows: list[NDArray[np.float64]] = [pooled(scan, segmenter.loaded, layer) for scan in scans]
    return fit_reference(np.array(rows), layer)
