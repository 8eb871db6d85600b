"""Inference: a scan to the model's grid, through the network, and its probabilities back to the scan's own voxels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trialscan.errors import SegmentationError
from trialscan.imaging import Reorientation, Units, Volume
from trialscan.segmentation.cleaning import drop_small_pieces, drop_uncertain_lesions
from trialscan.segmentation.contract import LabelMap
from trialscan.segmentation.native import to_native_grid
from trialscan.segmentation.outliers import FeatureReference, pooled_features
from trialscan.segmentation.passes import mirrored, pass_agreement
from trialscan.segmentation.preparation import planar_shape, prepare_planar, prepare_volume, square_window
from trialscan.segmentation.specification import ModelSpecification
from trialscan.segmentation.stopwatch import Stopwatch
from trialscan.segmentation.windows import slide
from trialscan.study.sections import Mirroring

_STEP = 16
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
        native = to_native_grid(probabilities, lesion, turn, volume.shape)
    labels = volume.with_array(native.labels, Units.LABEL)
    percent = None if native.percent is None else volume.with_array(native.percent, Units.LABEL)
    if percent is not None:
        evidence |= {"lesion_voxels_low": float(native.sure), "lesion_voxels_high": float(native.possible)}
    evidence["network_memory"] = place.name
    return LabelMap(labels, native.probability, percent, evidence, watch.seconds)


def _prepared(volume: Volume, spec: ModelSpecification, place: Place) -> tuple[Tensor, Reorientation | None]:
    """The image on the model's grid, and how a volume's axes were turned for it; None for a planar one."""
    if spec.kind == "planar":
        return prepare_planar(volume, spec, place.keep), None
    turn = Reorientation.to_lps(volume)
    return prepare_volume(turn.apply(volume, copy=False), spec, place.keep), turn


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
    return slide(image, network, window, spec.overlap, place.compute).softmax(dim=1)[0]


def _cleaned(probabilities: Tensor, spec: ModelSpecification) -> tuple[Tensor, Tensor | None]:
    """Probabilities after cleaning, and those of all lesion labels together before uncertain lesions went."""
    whole = drop_small_pieces(probabilities, spec.min_component_share)
    lesion = whole[list(spec.lesion_labels)].sum(dim=0) if spec.lesion_labels else None
    return drop_uncertain_lesions(whole, spec.lesion_labels, spec.min_lesion_peak), lesion
