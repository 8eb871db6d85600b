"""The tiny snapshots, a folder each."""

import pytest
import torch
from tiny_experiments import FolderStore, snapshot_of, write_box, write_disc


@pytest.fixture
def discs(tmp_path) -> FolderStore:
    root = tmp_path / "discs"
    root.mkdir()
    cases = [write_disc(root, number) for number in range(8)]
    return FolderStore(root, snapshot_of(root, "discs", cases, {0: "background", 1: "disc"}))


@pytest.fixture
def boxes(tmp_path) -> FolderStore:
    root = tmp_path / "boxes"
    root.mkdir()
    cases = [write_box(root, number) for number in range(6)]
    return FolderStore(root, snapshot_of(root, "boxes", cases, {0: "background", 1: "box"}))


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
