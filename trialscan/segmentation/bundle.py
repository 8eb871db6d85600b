"""Model bundles in MONAI's layout: plain configuration, safetensors weights pinned by digest, no code."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import nn

from trialscan.errors import SegmentationError
from trialscan.imaging import Volume
from trialscan.segmentation.contract import LabelMap, ModelIdentity
from trialscan.segmentation.device import choose_device
from trialscan.segmentation.engine import LoadedNetwork, infer
from trialscan.segmentation.model_folder import METADATA
from trialscan.segmentation.network import build_for_inference
from trialscan.segmentation.outliers import read_reference
from trialscan.segmentation.specification import ModelSpecification, read_json, read_specification
from trialscan.segmentation.unet import lean
from trialscan.study.sections import Mirroring

INFERENCE = Path("configs/inference.json")
WEIGHTS = Path("models/model.safetensors")


@dataclass(frozen=True, eq=False)
class BundleSegmenter:
    """A network loaded from a bundle; calling it labels a scan on the scan's own grid.

    `network` is the network as it was trained; `loaded` holds it as it runs.
    """

    identity: ModelIdentity
    loaded: LoadedNetwork
    network: nn.Module

    @property
    def spec(self) -> ModelSpecification:
        """How scans are prepared and the answer is read."""
        return self.loaded.spec

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.loaded.device

    @property
    def labels(self) -> Mapping[int, str]:
        """Name of each label that it may give."""
        return self.spec.labels

    def __call__(self, volume: Volume) -> LabelMap:
        """Label a scan; raises SegmentationError when it is planar and the model is not, or the reverse."""
        if volume.is_planar != (self.spec.kind == "planar"):
            raise SegmentationError(
                f"model {self.identity.name}",
                f"a scan of shape {volume.shape}",
                "a single image (k = 1)" if self.spec.kind == "planar" else "a scan of several slices",
                "Name a model of the right dimension in the protocol.",
            )
        return infer(volume, self.loaded)


def load_bundle(
    path: Path, device: str = "auto", expected_sha256: str | None = None, mirroring: Mirroring = "none"
) -> BundleSegmenter:
    """Load a bundle folder made by trialscan's training.

    Parameters
    ----------
    path : the folder, with `configs/metadata.json`, `configs/inference.json` and `models/model.safetensors`.
    device : `auto`, `cpu`, `cuda` or `cuda:N`.
    expected_sha256 : digest of the weights that the protocol pins; None accepts the bundle's own.
    mirroring : whether a second, mirrored pass is made to `check` the first or be averaged with it.

    Raises
    ------
    SegmentationError
        A file is missing or damaged, the weights are not those that the bundle or the protocol name or do not fit
        the network, or the network's definition would run code.
    UsageError
        The device does not exist.
    """
    target = choose_device(device)
    metadata = read_json(path / METADATA)
    spec = read_specification(metadata, f"{path.name}/{METADATA}")
    definition = read_json(path / INFERENCE).get("network_def")
    if not isinstance(definition, dict):
        raise SegmentationError(f"{path.name}/{INFERENCE}", "no network_def", "MONAI's definition of a network")
    network = build_for_inference(definition, f"{path.name}/{INFERENCE}")
    content = _pinned_weights(path / WEIGHTS, {"the bundle": spec.weights_sha256, "the protocol": expected_sha256})
    _fill(network, content, f"{path.name}/{WEIGHTS}")
    reference = read_reference(path, spec.features_sha256, spec.weights_sha256) if spec.features_sha256 else None
    trained = network.eval().requires_grad_(requires_grad=False).to(target)
    identity = ModelIdentity(
        str(metadata.get("name", path.name)), str(metadata.get("version", "")), spec.weights_sha256
    )
    return BundleSegmenter(identity, LoadedNetwork(lean(trained), spec, target, mirroring, reference), trained)


def _pinned_weights(path: Path, pins: dict[str, str | None]) -> bytes:
    """The weights' bytes, once every pin agrees with their digest."""
    where = f"{path.parent.parent.name}/{WEIGHTS}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SegmentationError(
            where, f"cannot be read ({error.strerror})", "the model's weights", "Restore the bundle."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    for source, expected in pins.items():
        if expected is not None and found != expected:
            raise SegmentationError(
                where, f"weights of sha256 {found}", f"{expected}, which {source} names", "Restore the weights."
            )
    return content


def _fill(network: nn.Module, content: bytes, where: str) -> None:
    """Load the weights into the network, as float32 whatever they are stored as."""
    try:
        weights = {name: value.float() for name, value in load_safetensors(content).items()}
        network.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise SegmentationError(
            where, str(error), "the weights of the network that inference.json defines", "Restore the bundle."
        ) from error
