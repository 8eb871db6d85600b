"""What a model expects and gives, told from its files without loading it or running any of its code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialscan.errors import SegmentationError
from trialscan.segmentation.model_folder import METADATA, ModelKind, folder_sha256, model_kind
from trialscan.segmentation.monai_metadata import read_format
from trialscan.segmentation.nnunet_metadata import read_nnunet
from trialscan.segmentation.specification import read_json, read_specification

_CARDS = ("docs/README.md", "README.md")
_CARD_LINES = 3


@dataclass(frozen=True)
class ModelFacts:
    """A model's folder in words.

    dimensions : 3 for volumes, 2 for single images, None where the files do not say.
    spacing_mm : of the model's own grid along i, j, k; None where it is not told or has none.
    window : positions seen at once, as the model's files give it.
    card : the first lines of its card.
    """

    name: str
    version: str
    kind: ModelKind
    task: str
    modality: str
    channels: tuple[str, ...]
    dimensions: int | None
    window: tuple[Any, ...]
    labels: dict[int, str]
    bundle_sha256: str
    card: tuple[str, ...]
    spacing_mm: tuple[float, ...] | None = None
    intensity_range: tuple[float, float] | None = None
    weights_sha256: str | None = None
    outlier_score: bool = False

    @property
    def needs_trust(self) -> bool:
        """Whether it runs code of its own."""
        return self.kind is not ModelKind.TRIALSCAN


def read_model_facts(path: Path) -> ModelFacts:
    """Read a model's folder; raises SegmentationError when it is no model that trialscan can run."""
    readers = {ModelKind.TRIALSCAN: _trialscan, ModelKind.MONAI: _monai, ModelKind.NNUNET: _nnunet}
    return readers[model_kind(path)](path)


def find_models(folder: Path) -> list[Path]:
    """The folders of models in a folder, by name; what is none is passed over."""
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and _is_model(path)]


def _is_model(path: Path) -> bool:
    try:
        model_kind(path)
    except SegmentationError:
        return False
    return True


def _trialscan(path: Path) -> ModelFacts:
    metadata = read_json(path / METADATA)
    spec = read_specification(metadata, f"{path.name}/{METADATA}")
    volume = spec.kind == "volume"
    return ModelFacts(
        name=str(metadata.get("name", path.name)),
        version=str(metadata.get("version", "")),
        kind=ModelKind.TRIALSCAN,
        task=str(metadata.get("task", "")),
        modality="CT" if spec.units == "HU" else spec.units,
        channels=("image",),
        dimensions=3 if volume else 2,
        spacing_mm=spec.spacing_mm,
        intensity_range=spec.intensity_range,
        window=spec.window,
        labels=dict(sorted(spec.labels.items())),
        weights_sha256=spec.weights_sha256,
        bundle_sha256=folder_sha256(path),
        outlier_score=spec.features_sha256 is not None,
        card=_card(path),
    )


def _monai(path: Path) -> ModelFacts:
    metadata = read_json(path / METADATA)
    form = read_format(metadata, path.name)
    return ModelFacts(
        name=str(metadata.get("name", path.name)),
        version=str(metadata.get("version", "")),
        kind=ModelKind.MONAI,
        task=str(metadata.get("task", "")),
        modality=form.modality,
        channels=(form.image,),
        dimensions=len(form.shape) if len(form.shape) in {2, 3} else None,
        window=form.shape,
        labels=form.labels,
        bundle_sha256=folder_sha256(path),
        card=_card(path),
    )


def _nnunet(path: Path) -> ModelFacts:
    facts = read_nnunet(path)
    return ModelFacts(
        name=facts.name,
        version=facts.configuration,
        kind=ModelKind.NNUNET,
        task="segmentation",
        modality=facts.channel,
        channels=(facts.channel,),
        dimensions=len(facts.patch) or None,
        spacing_mm=tuple(reversed(facts.spacing_mm)) or None,
        window=tuple(reversed(facts.patch)),
        labels=facts.labels,
        bundle_sha256=folder_sha256(path),
        card=_card(path),
    )


def _card(path: Path) -> tuple[str, ...]:
    """The first lines of text of the model's card."""
    source = next((path / name for name in _CARDS if (path / name).is_file()), None)
    if source is None:
        return ()
    lines = (line.strip() for line in source.read_text(encoding="utf-8", errors="replace").splitlines())
    return tuple([line for line in lines if line][:_CARD_LINES])
