"""Tiny snapshots: bright discs in pictures of 32 × 32 and bright boxes in volumes of 16³, in noise."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from trialscan.audit import digest_file
from trialscan.imaging import Units, Volume, affine_from, write_volume
from trialscan.training.datasets import AnnotatedCase, CaseMask, Snapshot, SnapshotFile
from trialscan.training.experiments.rehearsal import Rehearsed

PLANAR = """\
name: tiny
snapshot: discs
network: {_target_: UNet, spatial_dims: 2, channels: [4, 8], strides: [2]}
preparation: {planar_size: 32, grey_levels: stretch}
batch: 2
epochs: 2
iterations: 2
optimiser: {learning_rate: 0.01}
folds: {count: 2}
"""
VOLUME = """\
name: tiny
snapshot: boxes
network: {_target_: UNet, spatial_dims: 3, channels: [4, 8], strides: [2]}
preparation:
  spacing_mm: [2, 2, 2]
  channels: [{units: SUV, intensity_range: [0, 10]}]
patch: [8, 8, 8]
batch: 2
epochs: 2
iterations: 2
folds: {count: 2}
"""


class FolderStore:
    """The store's promise kept by a folder of one snapshot."""

    def __init__(self, root: Path, snapshot: Snapshot) -> None:
        self.root, self.snapshot = root, snapshot

    def find(self, name_or_digest: str) -> Snapshot:
        assert name_or_digest in {self.snapshot.name, self.snapshot.digest}
        return self.snapshot

    def path_of(self, snapshot: Snapshot, path: str) -> Path:
        assert snapshot == self.snapshot
        return self.root / path

    def check(self, snapshot: Snapshot) -> None:
        for file in snapshot.files:
            assert digest_file(self.root / file.path) == file.sha256


class Told:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.epochs: list[tuple[str, int]] = []

    def plan(self, fits, epochs):
        self.lines.append(f"{fits} fits, {epochs} epochs")

    def epoch(self, fit, row):
        self.epochs.append((fit, row.epoch))

    def say(self, message):
        self.lines.append(message)


def unrehearsed(design, device) -> Rehearsed:
    return Rehearsed(0, 0.0)


def disc(number: int, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    i, j = np.indices((size, size))
    center = rng.uniform(10, 22, 2)
    inside = (i - center[0]) ** 2 + (j - center[1]) ** 2 < (4 + number % 4) ** 2
    image = rng.normal(80, 8, (size, size)) + 90 * inside
    return image.clip(0, 255).astype(np.uint8), inside.astype(np.uint8)


def box(number: int, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    labels = np.zeros((size,) * 3, np.uint8)
    first = rng.integers(2, 8, 3)
    labels[tuple(slice(a, a + 5) for a in first)] = 1
    return (rng.normal(2, 0.3, labels.shape) + 5 * labels).astype(np.float32), labels


def snapshot_of(root: Path, name: str, cases: list[AnnotatedCase], labels: Mapping[int, str], **more) -> Snapshot:
    paths = sorted({path for case in cases for path in (*case.images, *(mask.path for mask in case.masks))})
    files = tuple(SnapshotFile(path, digest_file(root / path), (root / path).stat().st_size) for path in paths)
    return Snapshot(name, "CC0", "made by a test", labels, files, tuple(cases), **more)


def write_disc(root: Path, number: int) -> AnnotatedCase:
    image, labels = disc(number)
    Image.fromarray(image).save(root / f"image{number}.png")
    Image.fromarray(labels).save(root / f"mask{number}.png")
    mask = CaseMask(f"mask{number}.png", {1: 1})
    attributes = {"sex": "FM"[number % 2]}
    return AnnotatedCase(f"c{number}", f"p{number}", f"p{number}", (f"image{number}.png",), (mask,), attributes)


def write_box(root: Path, number: int) -> AnnotatedCase:
    image, labels = box(number)
    affine = affine_from((2.0, 2.0, 2.0))
    write_volume(root / f"image{number}.nii.gz", Volume(image, affine, Units.SUV))
    write_volume(root / f"mask{number}.nii.gz", Volume(labels, affine, Units.LABEL))
    mask = CaseMask(f"mask{number}.nii.gz", {1: 1})
    return AnnotatedCase(f"c{number}", f"p{number}", f"p{number}", (f"image{number}.nii.gz",), (mask,))


def configuration(tmp_path: Path, text: str, name: str = "experiment.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path
