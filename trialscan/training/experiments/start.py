"""What a training starts from: the network's definition, the preparation of its images, and perhaps weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_safetensors
from torch import Tensor

from trialscan.audit import digest_bytes, digest_file, digest_json
from trialscan.errors import SegmentationError
from trialscan.segmentation import folder_sha256
from trialscan.segmentation.bundle import INFERENCE, WEIGHTS
from trialscan.segmentation.model_folder import METADATA
from trialscan.segmentation.specification import ModelSpecification, read_json, read_specification
from trialscan.study.shipped import shipped_folder
from trialscan.training.experiments.reading import Experiment
from trialscan.training.experiments.sections import StartSettings
from trialscan.training.loop import average_weights


@dataclass(frozen=True, eq=False)
class Start:
    """Where a training begins.

    name : as the configuration gives it; `digest` is the bundle's, or the checkpoint's.
    weights : by the network's own names; None draws them anew. `labels` are those of the network that they are from.
    """

    name: str
    digest: str
    network: Mapping[str, Any] | None = None
    spec: ModelSpecification | None = None
    weights: Mapping[str, Tensor] | None = None

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes of the network that the weights are from, where they are known."""
        return None if self.spec is None else tuple(self.spec.labels[index] for index in sorted(self.spec.labels))


SCRATCH = Start("scratch", digest_json("scratch"))


def find_start(experiment: Experiment, variant: str) -> Start:
    """What a variant starts from.

    Raises
    ------
    InputError
        There is no such bundle or checkpoint.
    SegmentationError
        The bundle is damaged.
    """
    settings = experiment.variants[variant].start
    if settings is None:
        return SCRATCH
    if settings.bundle is not None:
        return _from_bundle(experiment, variant, settings.bundle, settings)
    path = experiment.folder / str(settings.checkpoint)
    if not path.is_file():
        raise experiment.fault(variant, ("start", "checkpoint"), f"no such file: {settings.checkpoint}")
    try:
        weights = average_weights(path)
    except (RuntimeError, KeyError, TypeError, EOFError, ValueError) as error:
        message = f"{settings.checkpoint} is no checkpoint of a training: {type(error).__name__}"
        raise experiment.fault(variant, ("start", "checkpoint"), message) from error
    return Start(path.name, digest_file(path), weights=weights if settings.weights else None)


def _from_bundle(experiment: Experiment, variant: str, name: str, settings: StartSettings) -> Start:
    places = [experiment.folder / name, shipped_folder() / "models" / name]
    path = next((place for place in places if (place / METADATA).is_file()), None)
    if path is None:
        message = f"no bundle {name!r}, neither a folder beside the configuration nor shipped: {_shipped()}"
        raise experiment.fault(variant, ("start", "bundle"), message)
    spec = read_specification(read_json(path / METADATA), f"{path.name}/{METADATA}")
    return Start(
        path.name,
        folder_sha256(path),
        network=read_json(path / INFERENCE)["network_def"],
        spec=spec,
        weights=_weights(path, spec) if settings.weights else None,
    )


def _weights(bundle: Path, spec: ModelSpecification) -> dict[str, Tensor]:
    """A bundle's weights as float32 under its network's own names; SegmentationError where they are not its own."""
    try:
        content = (bundle / WEIGHTS).read_bytes()
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
        raise SegmentationError(
            f"{bundle.name}/{WEIGHTS}", found, "the model's weights", "Restore the bundle."
        ) from error
    if digest_bytes(content) != spec.weights_sha256:
        raise SegmentationError(
            f"{bundle.name}/{WEIGHTS}", f"sha256 {digest_bytes(content)}", spec.weights_sha256, "Restore the bundle."
        )
    return {name: value.float() for name, value in load_safetensors(content).items()}


def _shipped() -> str:
    return ", ".join(sorted(path.name for path in (shipped_folder() / "models").iterdir() if path.is_dir()))
