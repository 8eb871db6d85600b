"""What there is to walk through: runs, models, experiments and snapshots found in folders."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from trialscan.audit import digest_file
from trialscan.errors import SegmentationError
from trialscan.segmentation import ModelFacts, folder_sha256, read_model_facts
from trialscan.segmentation.model_folder import METADATA
from trialscan.study.shipped import shipped_folder
from trialscan.training.datasets import Snapshot
from trialscan.training.datasets.store import DatasetStore
from trialscan.training.experiments.record import LOCK
from trialscan.training.promotion.promote import LINEAGE

RUN, SCANS = "run.json", "tables/scans.csv"
_PASSED_OVER = {".git", ".store", ".venv", "node_modules", "views", "objects", "cache"}


@dataclass(frozen=True, eq=False)
class Run:
    """A run's folder and its table of scans, every cell as text."""

    folder: Path
    scans: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Model:
    """A model's folder; `lineage` is what its promotion wrote, None where it was not promoted from an experiment."""

    folder: Path
    facts: ModelFacts
    sha256: str
    lineage: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """Name and version."""
        return f"{self.facts.name} {self.facts.version}"

    @property
    def digests(self) -> frozenset[str]:
        """What others call it by: the digest of its weights and that of its folder."""
        return frozenset(digest for digest in (self.sha256, self.facts.weights_sha256) if digest)


@dataclass(frozen=True, eq=False)
class Archive:
    """Everything found, in a fixed order. `experiments` maps the digest of a lock to its folder."""

    runs: tuple[Run, ...]
    models: tuple[Model, ...]
    experiments: Mapping[str, Path]
    snapshots: tuple[Snapshot, ...]

    def model(self, digest: str) -> Model | None:
        """The model of that digest, of weights or folder."""
        return next((model for model in self.models if digest in model.digests), None)

    def snapshot(self, digest: str) -> Snapshot | None:
        """The snapshot of that digest."""
        return next((snapshot for snapshot in self.snapshots if snapshot.digest == digest), None)


def read_archive(folders: Sequence[Path], store: Path | None) -> Archive:
    """Look through folders and all below them, the shipped models, and the store of snapshots.

    Raises
    ------
    InputError
        A snapshot in the store is not what its digest says.
    """
    places = sorted({place.resolve() for folder in folders for place in _folders(folder)})
    shipped = shipped_folder() / "models"
    candidates = dict.fromkeys([*places, *(path for path in sorted(shipped.iterdir()) if path.is_dir())])
    runs = tuple(read_run(place) for place in places if (place / RUN).is_file() and (place / SCANS).is_file())
    models = tuple(model for place in candidates if (model := _model(place)) is not None)
    locks = [place / LOCK for place in places if (place / LOCK).is_file() and place.name != LINEAGE.parent.name]
    experiments = {digest_file(lock): lock.parent for lock in locks}
    return Archive(runs, models, experiments, DatasetStore(store).snapshots())


def read_run(folder: Path) -> Run:
    """A run's table of scans; names and digests stay text."""
    return Run(folder, pd.read_csv(folder / SCANS, dtype=str, keep_default_na=False))


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.is_symlink() and child.name not in _PASSED_OVER:
            yield from _folders(child)


def _model(folder: Path) -> Model | None:
    if not (folder / METADATA).is_file():
        return None
    try:
        facts = read_model_facts(folder)
    except SegmentationError:
        return None
    lineage = folder / LINEAGE
    content = json.loads(lineage.read_text(encoding="utf-8")) if lineage.is_file() else None
    return Model(folder, facts, folder_sha256(folder), content)
