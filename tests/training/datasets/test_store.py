"""The store gives back what it was given, under names that can be read, and tells what was changed or lost."""

import json
import os
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from trialscan.audit import digest_bytes
from trialscan.errors import InputError
from trialscan.training.datasets import AnnotatedCase, CaseMask, DatasetStore, Kept, Snapshot, SnapshotFile, keeping

CONTENT = {
    "images/a.png": b"image a",
    "series/b/1.dcm": b"slice 1",
    "series/b/2.dcm": b"slice 2",
    "masks/a.png": b"mask",
}


def a_snapshot(name: str = "set", parent: str | None = None) -> Snapshot:
    files = tuple(SnapshotFile(path, digest_bytes(content), len(content)) for path, content in CONTENT.items())
    masks = (CaseMask("masks/a.png", {1: 1}),)
    cases = (
        AnnotatedCase("a", "a", "a", ("images/a.png",), masks),
        AnnotatedCase("b", "b", "b", ("series/b",), masks),
    )
    return Snapshot(name, "CC0", "here", {0: "background", 1: "lesion"}, files, cases, (), parent)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    for path, content in CONTENT.items():
        file = tmp_path / "origin" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "origin"


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path / "store")


def located(origin: Path) -> dict[str, Path | str]:
    return {path: origin / path for path in CONTENT}


def test_what_is_added_is_found_by_name_digest_and_beginning(store: DatasetStore, origin: Path) -> None:
    snapshot = a_snapshot()
    store.add(snapshot, located(origin), reader="R. One", reason="first")
    for key in ("set", snapshot.digest, snapshot.digest[:8]):
        assert store.find(key) == snapshot
    record = store.record(snapshot)
    assert (record.reader, record.reason) == ("R. One", "first")
    assert record.origins["images/a.png"] == str(origin / "images/a.png")


def test_paths_keep_their_suffix_and_a_series_is_a_folder(store: DatasetStore, origin: Path) -> None:
    snapshot = a_snapshot()
    store.add(snapshot, located(origin))
    image = store.path_of(snapshot, "images/a.png")
    assert image.name == "a.png"
    assert image.read_bytes() == b"image a"
    series = store.path_of(snapshot, "series/b")
    assert sorted(file.read_bytes() for file in series.rglob("*") if file.is_file()) == [b"slice 1", b"slice 2"]
    with pytest.raises(InputError, match="not a file or folder of the snapshot"):
        store.path_of(snapshot, "images/c.png")


def test_the_store_can_be_moved(store: DatasetStore, origin: Path, tmp_path: Path) -> None:
    snapshot = a_snapshot()
    store.add(snapshot, located(origin))
    store.path_of(snapshot, "series/b")
    moved = DatasetStore(store.root.rename(tmp_path / "elsewhere"))
    assert (moved.path_of(snapshot, "series/b") / "1.dcm").read_bytes() == b"slice 1"


def test_a_flipped_byte_is_found_and_named(store: DatasetStore, origin: Path) -> None:
    snapshot = a_snapshot()
    store.add(snapshot, located(origin))
    store.check(snapshot)
    place = store.path_of(snapshot, "series/b/2.dcm").resolve()
    place.chmod(0o644)
    place.write_bytes(b"slice 3")
    with pytest.raises(InputError, match=r"series/b/2\.dcm: changed: .*expected") as caught:
        store.check(snapshot)
    assert len(caught.value.faults) == 1


def test_a_lost_object_is_found_and_every_name_of_it_told(store: DatasetStore, origin: Path) -> None:
    snapshot = a_snapshot()
    twin = SnapshotFile("images/twin.png", digest_bytes(b"image a"), 7)
    snapshot = replace(snapshot, files=(*snapshot.files, twin))
    store.add(snapshot, {**located(origin), "images/twin.png": origin / "images/a.png"})
    (store.root / "objects" / twin.sha256[:2] / twin.sha256).unlink()
    with pytest.raises(InputError) as caught:
        store.check(snapshot)
    assert [fault.where for fault in caught.value.faults] == ["images/a.png", "images/twin.png"]


def test_masks_survive_an_edit_of_the_original(store: DatasetStore, origin: Path) -> None:
    snapshot = a_snapshot()
    store.add(snapshot, located(origin))
    (origin / "masks/a.png").write_bytes(b"edit")
    store.check(snapshot)
    assert store.path_of(snapshot, "masks/a.png").read_bytes() == b"mask"


def test_images_survive_that_the_original_is_replaced_or_deleted(store: DatasetStore, origin: Path) -> None:
    snapshot = a_snapshot()
    kept = store.add(snapshot, located(origin))
    assert kept.get(Kept.POINTER, 0) == 0
    (origin / "images/a.png").unlink()
    (origin / "new").write_bytes(b"another")
    (origin / "new").replace(origin / "series/b/1.dcm")
    store.check(snapshot)


def test_a_linked_image_damaged_in_place_is_healed_by_a_good_copy(
    store: DatasetStore, origin: Path, tmp_path: Path
) -> None:
    snapshot = a_snapshot()
    store.add(snapshot, located(origin))
    held = store.root / "objects" / digest_bytes(b"image a")[:2] / digest_bytes(b"image a")
    if held.stat().st_nlink == 1:
        pytest.skip("the file system makes reflinks, which an edit of the original does not reach")
    (origin / "images/a.png").write_bytes(b"image b")
    with pytest.raises(InputError, match=r"images/a\.png: changed"):
        store.check(snapshot)
    backup = tmp_path / "backup.png"
    backup.write_bytes(b"image a")
    store.add(snapshot, {**located(origin), "images/a.png": backup})
    store.check(snapshot)


def test_without_links_images_are_pointers_and_a_lost_original_is_told(
    store: DatasetStore, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping.Reflinks, "__call__", lambda *_: False)
    monkeypatch.setattr(keeping, "hardlink", lambda *_: False)
    snapshot = a_snapshot()
    assert store.add(snapshot, located(origin)) == {Kept.POINTER: 3, Kept.COPY: 1}
    assert store.path_of(snapshot, "images/a.png").read_bytes() == b"image a"
    store.check(snapshot)
    (origin / "images/a.png").write_bytes(b"image b")
    (origin / "series/b/1.dcm").unlink()
    with pytest.raises(InputError) as caught:
        store.check(snapshot)
    changed, missing = caught.value.faults
    assert (changed.where, missing.where) == ("images/a.png", "series/b/1.dcm")
    assert changed.message.startswith("changed")
    assert missing.message.startswith("missing")


def test_a_url_is_fetched_when_used_and_checked(store: DatasetStore, origin: Path) -> None:
    snapshot = a_snapshot()
    url = "memory://bucket/images/a.png"
    with fsspec.open(url, "wb") as stream:
        stream.write(b"image a")
    assert store.add(snapshot, {**located(origin), "images/a.png": url})[Kept.POINTER] == 1
    assert store.path_of(snapshot, "images/a.png").read_bytes() == b"image a"
    for cached in (store.root / "cache").rglob("*"):
        if cached.is_file():
            cached.unlink()
    with fsspec.open(url, "wb") as stream:
        stream.write(b"image b")
    with pytest.raises(InputError, match=r"images/a\.png: changed: memory://bucket/images/a\.png"):
        store.check(snapshot)


def test_what_is_missing_is_not_recorded(store: DatasetStore, origin: Path) -> None:
    places = located(origin)
    del places["images/a.png"]
    (origin / "series/b/1.dcm").unlink()
    (origin / "series/b/2.dcm").write_bytes(b"longer than it was")
    with pytest.raises(InputError) as caught:
        store.add(a_snapshot(), places)
    assert [fault.where for fault in caught.value.faults] == ["images/a.png", "series/b/1.dcm", "series/b/2.dcm"]
    assert store.snapshots() == ()


def test_the_name_stands_for_the_last_and_a_repeat_changes_no_record(store: DatasetStore, origin: Path) -> None:
    first = a_snapshot()
    second = a_snapshot(parent=first.digest)
    store.add(first, located(origin), reason="one")
    store.add(second, located(origin), reason="two")
    assert store.find("set") == second
    assert {snapshot.digest for snapshot in store.snapshots()} == {first.digest, second.digest}
    assert store.add(first, located(origin), reason="three") == {Kept.PRESENT: 4}
    assert store.record(first).reason == "one"
    assert store.find("set") == first


def test_unknown_and_ambiguous_names_are_refused(store: DatasetStore, origin: Path) -> None:
    store.add(a_snapshot("one"), located(origin))
    store.add(a_snapshot("two"), located(origin))
    with pytest.raises(InputError, match="it holds: one, two"):
        store.find("three")
    with pytest.raises(InputError, match="2 snapshots have a digest that begins so"):
        store.find("")


def test_an_altered_snapshot_is_refused(store: DatasetStore, origin: Path) -> None:
    snapshot = a_snapshot()
    store.add(snapshot, located(origin))
    file = store.root / "snapshots" / "set" / f"{snapshot.digest}.json"
    content = json.loads(file.read_text())
    content["licence"] = "mine"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="altered"):
        store.find("set")


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIALSCAN_DATASETS", str(tmp_path / "there"))
    assert DatasetStore().root == tmp_path / "there"
    monkeypatch.delenv("TRIALSCAN_DATASETS")
    assert os.fspath(DatasetStore().root) == "datasets"
