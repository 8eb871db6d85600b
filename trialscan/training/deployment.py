"""A model in the form that another runtime loads: TorchScript, ONNX, or a MONAI bundle, each checked beside the model.

What is exported is the network: it takes the prepared image, (n, channels, i, j[, k]) float32, and gives logits,
(n, labels, i, j[, k]). How an image is prepared and what the labels mean stands in a JSON file beside it, and so do the
digests of the weights it came from and of the exported file, and how far the two answers lay apart.
"""

import hashlib
import io
import json
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import monai
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from trialscan.errors import SegmentationError, UsageError
from trialscan.segmentation import load_bundle, read_model_facts
from trialscan.segmentation.bundle import INFERENCE, BundleSegmenter
from trialscan.segmentation.specification import read_json
from trialscan.training.export import edge_divisor

Form = Literal["torchscript", "onnx", "monai"]
Network = Callable[[Tensor], Tensor]
SUFFIX: Mapping[Form, str] = MappingProxyType({"torchscript": ".ts", "onnx": ".onnx", "monai": ""})
TORCHSCRIPT_OF_BUNDLE = Path("models/model.ts")
LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Deployment:
    """An exported model, and how near its answers are to the model's own.

    `largest_difference` is the largest difference of a class probability over the images tried, and
    `voxels_compared` how many values that is.
    """

    form: Form
    path: Path
    sha256: str
    model: str
    version: str
    weights_sha256: str
    largest_difference: float
    voxels_compared: int


@dataclass(frozen=True, eq=False)
class _Source:
    """The bundle to be exported, loaded, and how many channels its images have."""

    bundle: Path
    segmenter: BundleSegmenter
    channels: int
    divisor: int

    @property
    def edges(self) -> list[int]:
        """Edges of a small image."""
        return [6 * self.divisor] * 2 if self.segmenter.spec.kind == "planar" else [2 * self.divisor] * 3

    def noise(self, count: int, edges: list[int]) -> Tensor:
        """So many images of -1 … 1, always the same."""
        return torch.rand((count, self.channels, *edges), generator=torch.Generator().manual_seed(0)) * 2 - 1


def export_model(bundle: Path, out: Path, form: Form) -> Deployment:
    """Write the model of a bundle for another runtime and check that it gives the same answers.

    Parameters
    ----------
    bundle : a folder that `write_bundle` made.
    out : the file to write (`.ts`, `.onnx`), or for `monai` the new folder. A JSON file of the same name lies beside.
    form : TorchScript (traced), ONNX (needs `pip install trialscan[onnx]`), or a bundle that MONAI's runner takes, with
        a TorchScript copy of the network in it.

    Raises
    ------
    SegmentationError
        The bundle cannot be loaded, or a class probability differs by more than 0.0001; nothing is written then.
    UsageError
        `out` exists, has another suffix, or the libraries for ONNX are missing.
    """
    _require_new(out, form)
    segmenter = load_bundle(bundle, "cpu")
    divisor = edge_divisor(read_json(bundle / INFERENCE)["network_def"])
    source = _Source(bundle, segmenter, len(read_model_facts(bundle).channels), divisor)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        draft = Path(scratch) / out.name
        difference, compared = _difference(source, _WRITERS[form](source, draft))
        if not difference <= LARGEST_DIFFERENCE:
            raise SegmentationError(
                f"export of {source.segmenter.identity.name} as {form}",
                f"a class probability differs by {difference:.2g}",
                f"at most {LARGEST_DIFFERENCE:g}",
                "Use another form.",
            )
        draft.rename(out)
    written = out / TORCHSCRIPT_OF_BUNDLE if form == "monai" else out
    identity = source.segmenter.identity
    deployment = Deployment(
        form,
        out,
        hashlib.sha256(written.read_bytes()).hexdigest(),
        identity.name,
        identity.version,
        identity.sha256,
        difference,
        compared,
    )
    facts = json.dumps(_facts(deployment, source), indent=2, ensure_ascii=False) + "\n"
    facts_path(deployment).write_text(facts, encoding="utf-8")
    return deployment


def facts_path(deployment: Deployment) -> Path:
    """The JSON file beside the exported model, or in the exported bundle."""
    if deployment.form == "monai":
        return deployment.path / TORCHSCRIPT_OF_BUNDLE.with_suffix(".json")
    return deployment.path.with_suffix(deployment.path.suffix + ".json")


def _require_new(out: Path, form: Form) -> None:
    if out.suffix != SUFFIX[form] and form != "monai":
        raise UsageError(str(out), f"suffix {out.suffix!r}", f"{SUFFIX[form]} for {form}")
    if out.exists():
        raise UsageError(str(out), "it exists", "a new name", "An exported model is never written over.")
    out.parent.mkdir(parents=True, exist_ok=True)


def _write_torchscript(source: _Source, path: Path) -> Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean")
        traced = torch.jit.trace(source.segmenter.network, _example(source), check_trace=False)  # type: ignore[no-untyped-call]
        path.write_bytes(_without_source_places(traced))
        return torch.jit.load(path)  # type: ignore[no-any-return, no-untyped-call]


def _without_source_places(traced: torch.jit.ScriptModule) -> bytes:
    """The archive less its debugging entries, which name the folders that this machine's libraries lie in."""
    whole, kept = io.BytesIO(), io.BytesIO()
    torch.jit.save(traced, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return kept.getvalue()


def _write_onnx(source: _Source, path: Path) -> Network:
    try:
        import onnxruntime  # noqa: PLC0415, heavy and optional
        import onnxscript  # noqa: F401, PLC0415, what torch.onnx exports through
    except ImportError as error:
        raise UsageError(
            "export as onnx", f"no {error.name}", "onnxruntime and onnxscript", "pip install trialscan[onnx]"
        ) from error
    example = _example(source)
    free = dict.fromkeys((0, *range(2, example.ndim)), torch.export.Dim.AUTO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            source.segmenter.network,
            (example,),
            dynamo=True,
            dynamic_shapes=(free,),
            input_names=["image"],
            output_names=["logits"],
            verbose=False,
        )
    if program is None:
        raise SegmentationError("export as onnx", "torch gave no program", "an ONNX program")
    model = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    path.write_bytes(model.SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(["logits"], {"image": image.numpy()})[0])


def _write_monai(source: _Source, path: Path) -> Network:
    """A copy of the bundle with TorchScript beside its weights; checked as MONAI builds and fills the network."""
    shutil.copytree(source.bundle, path)
    _write_torchscript(source, path / TORCHSCRIPT_OF_BUNDLE)
    parser = ConfigParser()
    parser.read_config(path / INFERENCE)
    parser["bundle_root"], parser["device"] = str(path), torch.device("cpu")
    network = parser.get_parsed_content("network")
    parser.get_parsed_content("weights")
    return network.eval()  # type: ignore[no-any-return]


_WRITERS: Mapping[Form, Callable[[_Source, Path], Network]] = MappingProxyType(
    {"torchscript": _write_torchscript, "onnx": _write_onnx, "monai": _write_monai}
)


def _example(source: _Source) -> Tensor:
    """Noise whose edges differ, so that none is taken for a constant or for another."""
    return source.noise(2, [edge + source.divisor * axis for axis, edge in enumerate(source.edges)])


def _images(source: _Source) -> Iterator[Tensor]:
    """Images of other shapes and counts than the example's: noise, a constant, and a step from air to bone."""
    yield source.noise(1, [edge + 2 * source.divisor for edge in source.edges])
    yield torch.full((1, source.channels, *source.edges), -1.0)
    step = torch.full((3, source.channels, *source.edges), -1.0)
    step[..., source.edges[-1] // 2 :] = 1.0
    yield step


@torch.inference_mode()
def _difference(source: _Source, network: Network) -> tuple[float, int]:
    """The largest difference of a class probability, NaN where one is not a number, and how many were compared."""
    largest, compared = torch.zeros(()), 0
    for image in _images(source):
        own, other = source.segmenter.network(image).softmax(1), network(image).softmax(1)
        largest = torch.maximum(largest, (own - other).abs().max())
        compared += own.numel()
    return float(largest), compared


def _facts(deployment: Deployment, source: _Source) -> dict[str, Any]:
    spec = source.segmenter.spec
    return {
        **{name: value for name, value in asdict(deployment).items() if name != "path"},
        "input": {"name": "image", "axes": "n, channel, i, j" + ("" if spec.kind == "planar" else ", k")},
        "output": {"name": "logits", "activation": "softmax over axis 1"},
        "edges_divisible_by": source.divisor,
        "labels": {str(label): name for label, name in spec.labels.items()},
        "preparation": {
            "orientation": None if spec.kind == "planar" else "LPS",
            "spacing_mm": spec.spacing_mm,
            "planar_size": spec.planar_size,
            "grey_levels": spec.grey_levels if spec.kind == "planar" else None,
            "intensity_range": spec.intensity_range,
            "scaled_to": [-1, 1],
        },
        "software": {"torch": torch.__version__.partition("+")[0], "monai": monai.__version__},
        "intended_use": "Research on clinical-trial images. Not for diagnosis.",
    }
