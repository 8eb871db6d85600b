"""Inference: a scan to the model's grid, through the network, and its probabilities back to the scan's own voxels."""

from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor, nn

from trialscan.imaging import Reorientation, Units, Volume
from trialscan.segmentation.cleaning import drop_small_pieces, drop_uncertain_lesions
from trialscan.segmentation.contract import LabelMap
from trialscan.segmentation.preparation import planar_shape, prepare_planar, prepare_volume, square_window
from trialscan.segmentation.resampling import axis_weights, resample_image
from trialscan.segmentation.specification import ModelSpecification

_CHUNK_VALUES = 24_000_000
_STEP = 16


def infer_volume(volume: Volume, network: nn.Module, spec: ModelSpecification, device: torch.device) -> LabelMap:
    """Label a 3-D scan of any orientation and spacing on its own grid."""
    turn = Reorientation.to_lps(volume)
    turned = turn.apply(volume)
    image = prepare_volume(turned, spec, device)
    probabilities = _probabilities(image, network, spec)[0]
    native = _on_native_grid(*_cleaned(probabilities, spec), turned.shape)
    percent = None if native.lesion is None else volume.with_array(turn.undo(native.lesion), Units.LABEL)
    return LabelMap(volume.with_array(turn.undo(native.labels), Units.LABEL), native.confidence, percent)


def infer_planar(volume: Volume, network: nn.Module, spec: ModelSpecification, device: torch.device) -> LabelMap:
    """Label a single image on its own pixels, taken as it hangs: i to the right, j downward."""
    image = prepare_planar(volume, spec, device)
    probabilities = _probabilities(image, network, spec)[0]
    size = image.shape[-1]
    inside = probabilities[(slice(None), *square_window(planar_shape(volume.shape, size), size))]
    native = _on_native_grid(*_cleaned(inside[..., None], spec), volume.shape)
    percent = None if native.lesion is None else volume.with_array(native.lesion, Units.LABEL)
    return LabelMap(volume.with_array(native.labels, Units.LABEL), native.confidence, percent)


def _probabilities(image: Tensor, network: nn.Module, spec: ModelSpecification) -> Tensor:
    """Class probabilities on the model's grid, in one piece or from overlapping windows weighted towards their centres.

    A window is no longer than the image needs, in steps that the network can halve.
    """
    window = [min(w, -(-n // _STEP) * _STEP) for w, n in zip(spec.window, image.shape[2:], strict=True)]
    inferer = SlidingWindowInferer(
        roi_size=window, sw_batch_size=1, overlap=spec.overlap, mode="gaussian", padding_mode="constant", cval=-1.0
    )
    with torch.inference_mode():
        logits: Tensor = inferer(image, network)
        return logits.softmax(dim=1)


def _cleaned(probabilities: Tensor, spec: ModelSpecification) -> tuple[Tensor, Tensor | None]:
    """Probabilities after cleaning, and those of all lesion labels together before uncertain lesions went."""
    whole = drop_small_pieces(probabilities, spec.min_component_share)
    lesion = whole[list(spec.lesion_labels)].sum(dim=0) if spec.lesion_labels else None
    return drop_uncertain_lesions(whole, spec.lesion_labels, spec.min_lesion_peak), lesion


@dataclass(frozen=True)
class _Native:
    """Labels of the native voxels, each label's mean probability over its voxels, and lesions' percent a voxel."""

    labels: NDArray[np.uint8]
    confidence: dict[int, float]
    lesion: NDArray[np.uint8] | None


def _on_native_grid(probabilities: Tensor, lesion: Tensor | None, shape: tuple[int, int, int]) -> _Native:
    """The most probable label of every native voxel.

    Slices are worked in chunks, so memory beyond the labels stays bounded.
    """
    classes, depth = probabilities.shape[0], probabilities.shape[3]
    labels = np.empty(shape, dtype=np.uint8)
    percent = None if lesion is None else np.empty(shape, dtype=np.uint8)
    count, total = np.zeros(classes), np.zeros(classes)
    along_k = axis_weights(depth, shape[2]).to(probabilities.device)
    chunk = max(1, _CHUNK_VALUES // (classes * shape[0] * shape[1]))
    for first in range(0, shape[2], chunk):
        last = min(first + chunk, shape[2])
        native = resample_image(probabilities @ along_k[first:last].T, (shape[0], shape[1], last - first))
        best, label = native.max(dim=0)
        labels[..., first:last] = label.to(torch.uint8).cpu().numpy()
        if lesion is not None and percent is not None:
            there = resample_image(lesion[None] @ along_k[first:last].T, (shape[0], shape[1], last - first))[0]
            percent[..., first:last] = (100.0 * there).round().clamp(0, 100).to(torch.uint8).cpu().numpy()
        flat = labels[..., first:last].ravel()
        count += np.bincount(flat, minlength=classes)
        total += np.bincount(flat, weights=best.cpu().numpy().ravel(), minlength=classes)
    confidence = {label: float(total[label] / count[label]) for label in range(classes) if count[label]}
    return _Native(labels, confidence, percent)
