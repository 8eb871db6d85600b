"""A small data set of pictures: images with masks in a folder, as `dataset.yaml` describes it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trialscan.training.datasets import DatasetStore

YAML = """\
name: set
licence: CC0
source: made for a test
labels: {1: lesion}
sources:
  - pattern:
      images: ['images/{case}.png']
      masks:
        - {path: 'masks/{case}.png', values: {255: lesion}}
"""


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path / "store")


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Write a grey PNG of random levels, or of one value with a square of another."""

    def write(path: Path, seed: int = 0, square: int | None = None, size: tuple[int, int] = (8, 10)) -> Path:
        levels = np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)
        if square is not None:
            levels = np.zeros(size, dtype=np.uint8)
            levels[2:5, 3:6] = square
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).save(path)
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """Twelve cases, 0 to 11, and their `dataset.yaml`."""
    root = tmp_path / "data"
    for case in range(12):
        picture(root / "images" / f"{case}.png", seed=case)
        picture(root / "masks" / f"{case}.png", square=255)
    (root / "dataset.yaml").write_text(YAML)
    return root
