"""Any segmentation bundle of MONAI's, run by its own configuration: pre-processing, inferer, post-processing.

The bundle's configuration is code. It is loaded only once `require_trust` has let it pass.
"""

import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai.transforms as mt
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.inferers import SimpleInferer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trialscan.errors import SegmentationError
from trialscan.imaging import Units, Volume
from trialscan.segmentation.contract import LabelMap, ModelIdentity
from trialscan.segmentation.device import choose_device
from trialscan.segmentation.foreign_grid import channels_to_labels, onto_grid, write_scan
from trialscan.segmentation.model_folder import METADATA
from trialscan.segmentation.monai_metadata import MonaiFormat, read_format
from trialscan.segmentation.specification import read_json
from trialscan.segmentation.stopwatch import Stopwatch

CONFIGURATIONS = ("inference.json", "inference.yaml", "inference.yml")
WEIGHTS = ("model.safetensors", "model.pt", "model.ts")
_STATE_KEYS = ("model", "state_dict", "network")
Step = Callable[[dict[str, Any]], dict[str, Any]]
_FAILURES = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, ImportError, OSError)


@dataclass(frozen=True, eq=False)
class MonaiSegmenter:
    """A bundle that is ready; calling it runs the bundle's own steps on a scan."""

    identity: ModelIdentity
    format: MonaiFormat
    network: nn.Module
    preprocessing: Step
    inferer: Callable[..., Any]
    postprocessing: tuple[Step, ...]
    device: torch.device
    mixed_precision: bool

    @property
    def labels(self) -> Mapping[int, str]:
        """Name of each label that it may give."""
        return self.format.labels

    def __call__(self, volume: Volume) -> LabelMap:
        """Label a scan; raises SegmentationError when a step of the bundle refuses it."""
        watch = Stopwatch(self.device)
        try:
            with tempfile.TemporaryDirectory() as folder:
                with watch.stage("prepare"):
                    scan = write_scan(volume, Path(folder))
                    item = self.preprocessing({self.format.image: str(scan)})
                with watch.stage("network"):
                    item[self.format.answer] = self._answer(item[self.format.image])
                with watch.stage("to_native_grid"):
                    for step in self.postprocessing:
                        item = step(item)
        except _FAILURES as error:
            raise SegmentationError(
                f"model {self.identity.name}", f"{type(error).__name__}: {error}", "a scan as its metadata describes"
            ) from error
        labels = channels_to_labels(item[self.format.answer], self.format)
        affine = item[self.format.answer].affine if isinstance(item[self.format.answer], MetaTensor) else None
        native = onto_grid(labels, affine, volume, f"model {self.identity.name}")
        return LabelMap(volume.with_array(native, Units.LABEL), {}, seconds=watch.seconds)

    def _answer(self, image: Tensor) -> Tensor:
        with torch.inference_mode(), self._precision():
            found = self.inferer(inputs=image[None].to(self.device), network=self.network)
        answer: Tensor = (found[0] if isinstance(found, list | tuple) else found)[0]
        return answer

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type) if self.mixed_precision else nullcontext()


def load_monai_bundle(path: Path, device: str, sha256: str) -> MonaiSegmenter:
    """Load a bundle, which runs its code.

    Parameters
    ----------
    path : the folder: `configs/metadata.json`, `configs/inference.json` (or YAML), and in `models/` weights as
        safetensors, `.pt` or TorchScript.
    device : `auto`, `cpu`, `cuda` or `cuda:N`.
    sha256 : digest of the folder.

    Raises
    ------
    SegmentationError
        A file is missing or damaged, the bundle is no segmentation of one image, or its configuration fails.
    UsageError
        The device does not exist.
    """
    target = choose_device(device)
    metadata = read_json(path / METADATA)
    form = read_format(metadata, path.name)
    with _importable(path):
        try:
            parser = _parser(path, target)
            network = _network(parser, path).eval().to(target)
            preprocessing = parser.get_parsed_content("preprocessing")
            inferer = parser.get_parsed_content("inferer") if "inferer" in parser else SimpleInferer()
            postprocessing = parser.get_parsed_content("postprocessing") if "postprocessing" in parser else None
        except _FAILURES as error:
            raise SegmentationError(
                path.name,
                f"{type(error).__name__}: {error}",
                "a configuration that MONAI can run",
                "Repair the bundle.",
            ) from error
    return MonaiSegmenter(
        ModelIdentity(str(metadata.get("name", path.name)), str(metadata.get("version", "")), sha256),
        form,
        network,
        preprocessing,
        inferer,
        tuple(_without_saving(postprocessing)),
        target,
        mixed_precision=target.type == "cuda" and bool(parser.get("evaluator#amp", default=False)),
    )


@contextmanager
def _importable(path: Path) -> Iterator[None]:
    """Let the bundle import its own modules, and leave no bytecode in it: its digest must stay the same."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(path))
    try:
        yield
    finally:
        sys.path.remove(str(path))
        sys.dont_write_bytecode = before


def _parser(path: Path, device: torch.device) -> ConfigParser:
    found = [path / "configs" / name for name in CONFIGURATIONS if (path / "configs" / name).is_file()]
    if not found:
        raise SegmentationError(path.name, "no configuration", f"one of configs/{', configs/'.join(CONFIGURATIONS)}")
    parser = ConfigParser()
    parser.read_config(str(found[0]))
    parser.read_meta(str(path / METADATA))
    known = {"bundle_root": str(path), "dataset_dir": str(path), "output_dir": str(path / "eval"), "device": device}
    for name, value in known.items():
        parser[name] = value
    return parser


def _network(parser: ConfigParser, path: Path) -> nn.Module:
    """The network with its weights: those its checkpoint loader names, else in `models/`, else by `initialize`."""
    source = _named_weights(parser) or next(
        (file for name in WEIGHTS if (file := path / "models" / name).is_file()), None
    )
    if source is not None and (source.suffix == ".ts" or "network_def" not in parser):
        network = torch.jit.load(str(source), map_location="cpu")  # type: ignore[no-untyped-call]
    else:
        network = parser.get_parsed_content("network_def")
        if source is not None:
            network.load_state_dict(_weights(source))
        elif "initialize" in parser:
            parser.get_parsed_content("initialize")
        else:
            raise SegmentationError(path.name, "no weights", f"one of models/{', models/'.join(WEIGHTS)}")
    if not isinstance(network, nn.Module):
        raise SegmentationError(f"{path.name}: network_def", f"a {type(network).__name__}", "a network")
    return network


def _named_weights(parser: ConfigParser) -> Path | None:
    """The file that a CheckpointLoader of the configuration names."""
    places = [("checkpointloader", parser.get("checkpointloader"))]
    handlers = parser.get("handlers", default=[])
    places += [(f"handlers#{number}", handler) for number, handler in enumerate(handlers)]
    for name, handler in places:
        if isinstance(handler, Mapping) and str(handler.get("_target_", "")).endswith("CheckpointLoader"):
            return Path(str(parser.get_parsed_content(f"{name}#load_path")))
    return None


def _weights(source: Path) -> dict[str, Tensor]:
    """A state dictionary, whatever it is wrapped in; tensors only, an arbitrary pickle is not unpacked."""
    try:
        content = load_file(source) if source.suffix == ".safetensors" else _unpickled(source)
    except SafetensorError as error:
        raise SegmentationError(source.name, str(error), "weights", "Restore the bundle.") from error
    for key in _STATE_KEYS:
        if isinstance(content.get(key), Mapping):
            content = content[key]
    return {name: value.float() if value.is_floating_point() else value for name, value in content.items()}


def _unpickled(source: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SegmentationError(
            source.name, "damaged, or a pickle of other things than tensors", "a state dictionary", "Save it as one."
        ) from error
    return content


def _without_saving(postprocessing: Any) -> list[Step]:  # noqa: ANN401 - whatever the configuration holds
    """The steps of a Compose, or the one step given, but for those that write files."""
    if postprocessing is None:
        return []
    steps: list[Step] = list(postprocessing.transforms) if isinstance(postprocessing, mt.Compose) else [postprocessing]
    return [step for step in steps if not isinstance(step, mt.SaveImaged)]
