"""Inference: a scan to the model's grid, through the network, and its probabilities back to the scan's own voxels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor, nn

from trialscan.errors import SegmentationError
from trialscan.imaging import Reorientation, Units, Volume
from trialscan.segmentation.cleaning import drop_small_pieces, drop_uncertain_lesions
from trialscan.segmentation.contract import LabelMap
from trialscan.segmentation.outliers import FeatureReference, pooled_features
from trialscan.segmentation.passes import mirrored, pass_agreement
from trialscan.segmentation.preparation import planar_shape, prepare_planar, prepare_volume, square_window
from trialscan.segmentation.resampling import axis_weights, resample_image
from trialscan.segmentation.specification import ModelSpecification
from trialscan.segmentation.stopwatch import Stopwatch
from trialscan.study.sections import Mirroring

_CHUNK_VALUES = 24_000_000
_STEP = 16
_SURE_PERCENT, _POSSIBLE_PERCENT = 90, 10
_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network, what its scans must be like, where it runs, and what its features look like on training scans."""

    module: nn.Module
    spec: ModelSpecification
    device: torch.device
    mirroring: Mirroring = "none"
    reference: FeatureReference | None = None


@dataclass(frozen=True)
class Place:
    """Where a scan is worked: windows on `compute`, all else (image, sums, probabilities) on `keep`."""

    name: str
    compute: torch.device
    keep: torch.device


@dataclass(frozen=True, eq=False)
class _Native:
    """Labels of the native voxels, each label's mean probability over its voxels, and lesions' percent a voxel.

    sure, possible : voxels in which that reaches 90 %, and 10 %.
    """

    labels: NDArray[np.uint8]
    probability: dict[int, float]
    percent: NDArray[np.uint8] | None
    sure: int
    possible: int


def infer(volume: Volume, network: LoadedNetwork) -> LabelMap:
    """Label a scan of any orientation and spacing, or a planar image, on its own grid.

    Where a GPU's memory does not hold the scan, its windows are computed there and joined in the host's memory, and
    where that fails too, everything runs on the CPU; `evidence["network_memory"]` says which. Raises SegmentationError
    where not even that has room.
    """
    return _where_it_fits(volume, network, lambda place: _prepared(volume, network.spec, place))


def infer_prepared(image: Tensor, volume: Volume, network: LoadedNetwork) -> LabelMap:
    """The same for an image (1, channels, i, j[, k]) that is on the model's grid already; `volume` has the scan's own.

    Volumes are turned to closest L, P, S before they are prepared.
    """
    turn = None if network.spec.kind == "planar" else Reorientation.to_lps(volume)
    return _where_it_fits(volume, network, lambda place: (image.to(place.keep), turn))


def _where_it_fits(
    volume: Volume, network: LoadedNetwork, prepare: Callable[[Place], tuple[Tensor, Reorientation | None]]
) -> LabelMap:
    for place in places(network.device):
        try:
            return _infer(volume, network, place, prepare)
        except torch.OutOfMemoryError:
            if place.compute.type == "cuda":
                torch.cuda.empty_cache()
    raise SegmentationError(
        "scan", f"shape {volume.shape}, too large for the memory of GPU and host", "", "Crop it, or use more memory."
    )


def pooled(volume: Volume, network: LoadedNetwork, layer: str) -> NDArray[np.float64]:
    """A layer's output on a scan, averaged over positions and windows: (channels,), as an outlier score sees it."""
    place = places(network.device)[0]
    image, _ = _prepared(volume, network.spec, place)
    with torch.inference_mode(), pooled_features(network.module, layer) as features:
        _probabilities(image, network.module, network.spec, place)
    return features.mean()


def places(device: torch.device) -> tuple[Place, ...]:
    """Where to try, the fastest first."""
    if device.type == "cpu":
        return (Place("host", _CPU, _CPU),)
    return (Place("device", device, device), Place("buffered", device, _CPU), Place("host", _CPU, _CPU))


def _infer(
    volume: Volume,
    network: LoadedNetwork,
    place: Place,
    prepare: Callable[[Place], tuple[Tensor, Reorientation | None]],
) -> LabelMap:
    watch, spec = Stopwatch(place.compute), network.spec
    with watch.stage("prepare"):
        image, turn = prepare(place)
    with watch.stage("network"):
        probabilities, evidence = _passes(image, network, place)
    if turn is None:
        size = image.shape[-1]
        probabilities = probabilities[(slice(None), *square_window(planar_shape(volume.shape, size), size))][..., None]
    with watch.stage("clean"):
        probabilities, lesion = _cleaned(probabilities, spec)
    with watch.stage("to_native_grid"):
        shape = volume.shape if turn is None else turn.shape(volume.shape)
        native = _on_native_grid(probabilities, lesion, shape)
    labels = _turned_back(native.labels, volume, turn)
    percent = None if native.percent is None else _turned_back(native.percent, volume, turn)
    if percent is not None:
        evidence |= {"lesion_voxels_low": float(native.sure), "lesion_voxels_high": float(native.possible)}
    evidence["network_memory"] = place.name
    return LabelMap(labels, native.probability, percent, evidence, watch.seconds)


def _turned_back(array: NDArray[np.uint8], volume: Volume, turn: Reorientation | None) -> Volume:
    return volume.with_array(array if turn is None else turn.undo(array), Units.LABEL)


def _prepared(volume: Volume, spec: ModelSpecification, place: Place) -> tuple[Tensor, Reorientation | None]:
    """The image on the model's grid, and how a volume's axes were turned for it; None for a planar one."""
    if spec.kind == "planar":
        return prepare_planar(volume, spec, place.keep), None
    turn = Reorientation.to_lps(volume)
    return prepare_volume(turn.apply(volume), spec, place.keep), turn


def _passes(image: Tensor, network: LoadedNetwork, place: Place) -> tuple[Tensor, dict[str, float | str | None]]:
    """Class probabilities on the model's grid, and what features and a mirrored pass say of them."""
    evidence: dict[str, float | str | None] = {}
    with _at(network.module, network.device, place.compute), torch.inference_mode():
        if network.reference is None:
            plain = _probabilities(image, network.module, network.spec, place)
        else:
            with pooled_features(network.module, network.reference.layer) as features:
                plain = _probabilities(image, network.module, network.spec, place)
            evidence |= network.reference.score(features.mean())
        if network.mirroring == "none":
            return plain, evidence
        second = mirrored(image, lambda view: _probabilities(view, network.module, network.spec, place))
        evidence |= pass_agreement(plain, second, network.spec.lesion_labels)
        return (plain + second) / 2 if network.mirroring == "average" else plain, evidence


@contextmanager
def _at(module: nn.Module, home: torch.device, place: torch.device) -> Iterator[None]:
    """Run the network elsewhere for a while, by deterministic algorithms."""
    elsewhere = home.type != place.type
    if elsewhere:
        module.to(place)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        if elsewhere:
            module.to(home)


def _probabilities(
    image: Tensor, network: Callable[[Tensor], Tensor], spec: ModelSpecification, place: Place
) -> Tensor:
    """Class probabilities (classes, i, j[, k]), in one piece or from windows weighted towards their centres.

    A window is no longer than the image needs, in steps that the network can halve.
    """
    window = [min(w, -(-n // _STEP) * _STEP) for w, n in zip(spec.window, image.shape[2:], strict=True)]
    inferer = SlidingWindowInferer(
        roi_size=window,
        sw_batch_size=1,
        overlap=spec.overlap,
        mode="gaussian",
        padding_mode="constant",
        cval=-1.0,
        sw_device=place.compute,
        device=place.keep,
    )
    logits: Tensor = inferer(image, network)
    return logits.softmax(dim=1)[0]


def _cleaned(probabilities: Tensor, spec: ModelSpecification) -> tuple[Tensor, Tensor | None]:
    """Probabilities after cleaning, and those of all lesion labels together before uncertain lesions went."""
    whole = drop_small_pieces(probabilities, spec.min_component_share)
    lesion = whole[list(spec.lesion_labels)].sum(dim=0) if spec.lesion_labels else None
    return drop_uncertain_lesions(whole, spec.lesion_labels, spec.min_lesion_peak), lesion


def _on_native_grid(probabilities: Tensor, lesion: Tensor | None, shape: tuple[int, int, int]) -> _Native:
    """The most probable label of every native voxel, and the lesions' probability before uncertain ones went.

    Slices are worked in chunks, so memory beyond the answer stays bounded.
    """
    classes, depth = probabilities.shape[0], probabilities.shape[3]
    labels = np.empty(shape, dtype=np.uint8)
    percent = None if lesion is None else np.empty(shape, dtype=np.uint8)
    count, total = np.zeros(classes), np.zeros(classes)
    sure = possible = 0
    along_k = axis_weights(depth, shape[2]).to(probabilities.device)
    chunk = max(1, _CHUNK_VALUES // (classes * shape[0] * shape[1]))
    for first in range(0, shape[2], chunk):
        last = min(first + chunk, shape[2])
        native = resample_image(probabilities @ along_k[first:last].T, (shape[0], shape[1], last - first))
        best, label = native.max(dim=0)
        labels[..., first:last] = label.to(torch.uint8).cpu().numpy()
        if lesion is not None and percent is not None:
            there = resample_image(lesion[None] @ along_k[first:last].T, (shape[0], shape[1], last - first))[0]
            part = (100.0 * there).round().clamp(0, 100).to(torch.uint8).cpu().numpy()
            percent[..., first:last] = part
            sure += int((part >= _SURE_PERCENT).sum())
            possible += int((part >= _POSSIBLE_PERCENT).sum())
        flat = labels[..., first:last].ravel()
        count += np.bincount(flat, minlength=classes)
        total += np.bincount(flat, weights=best.cpu().numpy().ravel(), minlength=classes)
    mean = {label: float(total[label] / count[label]) for label in range(classes) if count[label]}
    return _Native(labels, mean, percent, sure, possible)
