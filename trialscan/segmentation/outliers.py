"""How unlike the training scans a scan is, by what the network's encoder makes of it.

The mean of each channel at the network's deepest level is one vector a scan. Its Mahalanobis distance from the training
scans' vectors finds scans on which a network fails silently (Gonzalez et al., "Detecting when pre-trained nnU-Net
models fail silently for Covid-19 lung lesion segmentation", MICCAI 2021). The covariance is shrunk towards a multiple
of the identity by Ledoit and Wolf's rule ("A well-conditioned estimator for large-dimensional covariance matrices",
2004).
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from trialscan.errors import SegmentationError, UsageError
from trialscan.segmentation.model_folder import METADATA
from trialscan.segmentation.specification import read_json

FEATURES = Path("models/features.safetensors")
_FOLDS = 5
_LIMIT_QUANTILE = 0.95
_FEWEST = 10


@dataclass
class Features:
    """Pooled features of the windows of one scan, as they come."""

    windows: list[Tensor] = field(default_factory=list)

    def mean(self) -> NDArray[np.float64]:
        """Their mean over windows: (channels,)."""
        pooled: NDArray[np.float64] = torch.cat(self.windows).mean(dim=0).double().cpu().numpy()
        return pooled


@dataclass(frozen=True, eq=False)
class FeatureReference:
    """The training scans' features.

    layer : name of the module whose output is pooled. mean : (channels,). precision : (channels, channels), inverse
    covariance. distances : of scans held out of the fit, rising.
    """

    layer: str
    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    distances: NDArray[np.float64]

    def score(self, features: NDArray[np.float64]) -> dict[str, float | str | None]:
        """`outlier_distance` (Mahalanobis) and `outlier_ratio`, that distance over the held-out scans' 95th percentile.

        A ratio above 1 is beyond 19 of 20 training scans.
        """
        distance = _distance(features, self.mean, self.precision)
        return {
            "outlier_distance": distance,
            "outlier_ratio": distance / float(np.quantile(self.distances, _LIMIT_QUANTILE)),
        }


@contextmanager
def pooled_features(network: nn.Module, layer: str) -> Iterator[Features]:
    """Collect the spatial mean of a layer's output at every call of the network."""
    features = Features()

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        features.windows.append(output.float().flatten(2).mean(dim=2))

    handle = network.get_submodule(layer).register_forward_hook(keep)
    try:
        yield features
    finally:
        handle.remove()


def deepest_layer(network: nn.Module, example: Tensor) -> str:
    """Name of the last module with the fewest positions in its output, found by passing `example` through."""
    seen: list[tuple[int, str]] = []

    def note(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == example.ndim:
                seen.append((output[0, 0].numel(), name))

        return hook

    leaves = [(name, module) for name, module in network.named_modules() if name and not any(module.children())]
    handles = [module.register_forward_hook(note(name)) for name, module in leaves]
    try:
        with torch.inference_mode():
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    fewest = min(size for size, _ in seen)
    return next(name for size, name in reversed(seen) if size == fewest)


def fit_reference(features: NDArray[np.float64], layer: str) -> FeatureReference:
    """The reference of training scans' features (scans, channels).

    Every scan's distance is taken from the others' fit, five folds in turn; a scan is nearer to a fit that it is part
    of. Raises UsageError with fewer than ten scans, or none that differ.
    """
    count = len(features)
    if count < _FEWEST or not np.ptp(features, axis=0).any():
        raise UsageError("features", f"{count} scans", f"at least {_FEWEST}, not all alike", "Take more seeds.")
    fold = np.arange(count) % _FOLDS
    distances = []
    for held in range(_FOLDS):
        mean, precision = _gaussian(features[fold != held])
        distances += [_distance(row, mean, precision) for row in features[fold == held]]
    mean, precision = _gaussian(features)
    return FeatureReference(layer, mean, precision, np.sort(np.array(distances)))


def write_reference(reference: FeatureReference, bundle: Path) -> str:
    """Write the reference beside the bundle's weights, pinned by digest in its metadata; returns the digest."""
    tensors = {name: torch.from_numpy(getattr(reference, name)) for name in ("mean", "precision", "distances")}
    metadata = read_json(bundle / METADATA)
    facts = {"layer": reference.layer, "weights_sha256": metadata["trialscan"]["weights_sha256"]}
    content = to_safetensors(tensors, facts)
    (bundle / FEATURES).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    metadata["trialscan"]["features_sha256"] = digest
    (bundle / METADATA).write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return digest


def read_reference(bundle: Path, sha256: str, weights_sha256: str) -> FeatureReference:
    """What `write_reference` wrote; raises SegmentationError where it is damaged, swapped, or of other weights."""
    where = f"{bundle.name}/{FEATURES}"
    try:
        found = hashlib.sha256((bundle / FEATURES).read_bytes()).hexdigest()
        with safe_open(bundle / FEATURES, framework="pt") as content:
            facts = content.metadata() or {}
            arrays = {name: content.get_tensor(name).numpy() for name in ("mean", "precision", "distances")}
    except (OSError, SafetensorError) as error:
        raise SegmentationError(where, str(error), "the features of training scans", "Restore the bundle.") from error
    if found != sha256:
        raise SegmentationError(
            where, f"features of sha256 {found}", f"{sha256}, which the bundle names", "Restore the bundle."
        )
    if facts.get("weights_sha256") != weights_sha256:
        raise SegmentationError(
            where, "features of other weights", "those of the bundle's", "Make them again: trialscan.training outliers."
        )
    return FeatureReference(facts["layer"], **arrays)


def _gaussian(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and inverse of the shrunk covariance."""
    mean = features.mean(axis=0)
    centred = features - mean
    count, channels = centred.shape
    sample = centred.T @ centred / count
    level = float(np.trace(sample)) / channels
    spread = float(((sample - level * np.eye(channels)) ** 2).sum())
    noise = sum(float(((np.outer(row, row) - sample) ** 2).sum()) for row in centred) / count**2
    weight = min(noise, spread) / spread if spread > 0 else 1.0
    shrunk = (1.0 - weight) * sample + max(weight, 1e-6) * level * np.eye(channels)
    return mean, np.linalg.inv(shrunk)


def _distance(row: NDArray[np.float64], mean: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    away = row - mean
    return float(np.sqrt(away @ precision @ away))
