"""A clone has the snapshot's files under their names; what is done to it never reaches the store."""

import os
from pathlib import Path

import pytest

from trialscan.errors import UsageError
from trialscan.training.datasets import (
    DatasetStore,
    Kept,
    Snapshot,
    clone_snapshot,
    cloning,
    read_description,
    take_snapshot,
)


@pytest.fixture
def snapshot(folder: Path, store: DatasetStore) -> Snapshot:
    return take_snapshot(read_description(folder / "dataset.yaml"), folder, store).snapshot


def test_a_clone_is_complete_and_its_edit_stays_its_own(
    snapshot: Snapshot, store: DatasetStore, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "clone"
    made = clone_snapshot(store, snapshot, out)
    assert sum(made.ways.values()) == 24
    assert made.ways.keys() <= {Kept.REFLINK, Kept.COPY}
    for file in snapshot.files:
        assert (out / file.path).read_bytes() == (folder / file.path).read_bytes()
        with (out / file.path).open("r+b") as stream:
            stream.write(b"edited in place")
    store.check(snapshot)
    assert (folder / "images/3.png").read_bytes() != (out / "images/3.png").read_bytes()


def test_linked_images_are_read_only_and_masks_are_its_own(
    snapshot: Snapshot, store: DatasetStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(cloning.Reflinks, "__call__", lambda *_: False)
    out = tmp_path / "clone"
    made = clone_snapshot(store, snapshot, out, link_images=True)
    assert made.ways == {Kept.HARDLINK: 12, Kept.COPY: 12}
    assert made.bytes_copied == sum(file.size for file in snapshot.files if file.path.startswith("masks/"))
    assert (out / "images/3.png").stat().st_mode & 0o777 == 0o444
    (out / "masks/3.png").write_bytes(b"edited")
    another = tmp_path / "another"
    another.write_bytes(b"another image")
    another.replace(out / "images/3.png")
    store.check(snapshot)


def test_root_gets_no_links(
    snapshot: Snapshot, store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UsageError, match="root, who may write into read-only files"):
        clone_snapshot(store, snapshot, tmp_path / "clone", link_images=True)


def test_nothing_is_written_over(snapshot: Snapshot, store: DatasetStore, folder: Path) -> None:
    with pytest.raises(UsageError, match="it holds something already"):
        clone_snapshot(store, snapshot, folder)
