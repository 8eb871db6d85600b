"""Edited masks become a child; what was not changed is told, what fits nowhere is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trialscan.audit import write_sums
from trialscan.errors import InputError
from trialscan.imaging import Units, Volume, write_volume
from trialscan.study import dump_protocol, load_protocol
from trialscan.training.datasets import (
    DatasetStore,
    Snapshot,
    clone_snapshot,
    compare,
    read_description,
    revise_snapshot,
    take_snapshot,
)

Picture = Callable[..., Path]


@pytest.fixture
def parent(folder: Path, store: DatasetStore) -> Snapshot:
    text = (folder / "dataset.yaml").read_text()
    (folder / "dataset.yaml").write_text(text + "held_out: {share: 0.25}\n")
    return take_snapshot(read_description(folder / "dataset.yaml"), folder, store).snapshot


def add_pixel(mask: Path, value: int = 255) -> None:
    with Image.open(mask) as image:
        image.load()
        image.putpixel((0, 0), value)
    image.save(mask)


def test_an_edited_clone(parent: Snapshot, store: DatasetStore, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone_snapshot(store, parent, clone)
    add_pixel(clone / "masks/3.png")
    Image.open(clone / "masks/4.png").save(clone / "masks/4.png", compress_level=0)
    revision = revise_snapshot(store, parent, clone, reader="R. One", reason="a missed spot")
    child = revision.snapshot
    assert dict(revision.changed) == {"masks/3.png": 1}
    assert len(revision.unchanged) == 11
    assert "masks/4.png" in revision.unchanged
    assert child.parent == parent.digest
    assert child.held_out == parent.held_out
    difference = compare(parent, child)
    assert (difference.changed_files, difference.changed_cases) == (("masks/3.png",), ("3",))
    assert store.find("set") == child
    assert (store.record(child).reader, store.record(child).reason) == ("R. One", "a missed spot")
    assert store.path_of(child, "masks/3.png").read_bytes() == (clone / "masks/3.png").read_bytes()
    store.check(parent)
    store.check(child)
    assert store.path_of(parent, "masks/3.png").read_bytes() != store.path_of(child, "masks/3.png").read_bytes()


def test_nothing_edited_makes_no_snapshot(parent: Snapshot, store: DatasetStore, tmp_path: Path) -> None:
    clone_snapshot(store, parent, tmp_path / "clone")
    revision = revise_snapshot(store, parent, tmp_path / "clone")
    assert revision.snapshot == parent
    assert len(store.snapshots()) == 1


def test_a_folder_by_case_may_be_of_another_format(parent: Snapshot, store: DatasetStore, tmp_path: Path) -> None:
    labels = np.zeros((10, 8, 1), dtype=np.uint8)
    labels[3:6, 2:5] = 255
    labels[0, 0] = 255
    (tmp_path / "edited").mkdir()
    write_volume(tmp_path / "edited" / "3.nii.gz", Volume(labels, np.eye(4), Units.LABEL))
    revision = revise_snapshot(store, parent, tmp_path / "edited")
    assert dict(revision.changed) == {"masks/3.nii.gz": 1}
    case = next(case for case in revision.snapshot.cases if case.case_id == "3")
    assert case.masks[0].path == "masks/3.nii.gz"
    assert revision.snapshot.files_of("masks/3.png") == ()


def test_a_table(parent: Snapshot, store: DatasetStore, tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "new" / "one.png", square=0)
    (tmp_path / "new" / "table.csv").write_text("case_id,mask,replaces\n3,one.png,\n")
    revision = revise_snapshot(store, parent, tmp_path / "new" / "table.csv")
    assert dict(revision.changed) == {"masks/3.png": 9}
    (tmp_path / "new" / "table.csv").write_text(
        "case_id,mask,replaces\n99,one.png,\n3,two.png,\n4,one.png,masks/5.png\n5,one.png,masks/5.png\n"
    )
    with pytest.raises(InputError) as caught:
        revise_snapshot(store, parent, tmp_path / "new" / "table.csv")
    text = str(caught.value)
    assert "table.csv:2: no case is called '99'" in text
    assert "table.csv:3: mask: 'two.png' does not lie beside the table" in text
    assert "table.csv:4: replaces: 'masks/5.png' is no mask of case 4" in text
    assert len(caught.value.faults) == 3


def test_what_fits_nowhere_is_refused_and_nothing_is_recorded(
    parent: Snapshot, store: DatasetStore, tmp_path: Path, picture: Picture
) -> None:
    edited = tmp_path / "edited"
    picture(edited / "masks/3.png", square=17)
    picture(edited / "masks/4.png", square=255, size=(4, 4))
    picture(edited / "images/5.png", seed=99)
    picture(edited / "stranger.png", square=255)
    (edited / "notes.txt").write_text("read twice")
    with pytest.raises(InputError) as caught:
        revise_snapshot(store, parent, edited)
    text = str(caught.value)
    assert "images/5.png: is no mask of the snapshot, and was changed" in text
    assert "stranger.png: no case is called 'stranger'" in text
    (edited / "images/5.png").unlink()
    (edited / "stranger.png").unlink()
    with pytest.raises(InputError) as caught:
        revise_snapshot(store, parent, edited)
    assert "holds [17]; expected 0, [255]" in str(caught.value)
    assert "a mask of shape (4, 4, 1)" in str(caught.value)
    assert store.find("set") == parent


def test_a_run_whose_masks_were_edited(folder: Path, store: DatasetStore, tmp_path: Path) -> None:
    """Classes are taken by name, not number; masks that the run recorded so are not readers' work."""
    (folder / "manifest.csv").write_text(
        "patient_id,visit,scan,lesion_mask\n" + "".join(f"p{n},v0,images/{n}.png,masks/{n}.png\n" for n in range(3))
    )
    (folder / "dataset.yaml").write_text(
        "name: set\nlicence: CC0\nsource: here\nlabels: {1: consolidation, 2: ground_glass}\nsources:\n  - table:\n"
        "      masks:\n        - {column: lesion_mask, values: {255: consolidation, 254: ground_glass}}\n"
    )
    parent = take_snapshot(read_description(folder / "dataset.yaml"), folder, store).snapshot
    run = tmp_path / "run"
    protocol = load_protocol("covid_ct_slice")
    numbers = {name: number for number, name in protocol.segmentation.class_names.items()}
    assert {"ground_glass", "consolidation"} <= numbers.keys()
    labels = np.zeros((10, 8, 1), dtype=np.uint8)
    for patient in ("p0", "p1", "p7"):
        (run / "patients" / patient / "v0").mkdir(parents=True)
        write_volume(run / "patients" / patient / "v0" / "lesions.nii.gz", Volume(labels, np.eye(4), Units.LABEL))
    (run / "protocol.lock.yaml").write_text(dump_protocol(protocol))
    write_sums(run)
    with pytest.raises(InputError, match="no edited mask in it"):
        revise_snapshot(store, parent, run)
    labels[3:6, 2:5] = numbers["consolidation"]
    labels[0, 0] = numbers["ground_glass"]
    write_volume(run / "patients" / "p1" / "v0" / "lesions.nii.gz", Volume(labels, np.eye(4), Units.LABEL))
    revision = revise_snapshot(store, parent, run)
    assert dict(revision.changed) == {"masks/1.nii.gz": 1}
    case = next(case for case in revision.snapshot.cases if case.case_id == "p1_v0")
    assert case.masks[0].values[numbers["consolidation"]] == 1
    assert case.masks[0].values[numbers["ground_glass"]] == 2
    shutil.copy(run / "patients" / "p1" / "v0" / "lesions.nii.gz", run / "patients" / "p7" / "v0" / "lesions.nii.gz")
    with pytest.raises(InputError, match="was edited, but no case is called p7_v0"):
        revise_snapshot(store, parent, run)
