"""Snapshots of every kind of source; bad input is told all at once and leaves no trace."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from trialscan.errors import InputError
from trialscan.imaging import Units, Volume, affine_from, write_volume
from trialscan.training.datasets import DatasetStore, Kept, describe_folder, read_description, take_snapshot
from trialscan.training.datasets.description import Description

Picture = Callable[..., Path]


def described(folder: Path, *changes: tuple[str, str]) -> Description:
    file = folder / "dataset.yaml"
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return read_description(file)


def faults_of(folder: Path, store: DatasetStore, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(InputError) as caught:
        take_snapshot(described(folder, *changes), folder, store)
    assert store.snapshots() == ()
    return [str(fault) for fault in caught.value.faults]


def test_a_pattern(folder: Path, store: DatasetStore) -> None:
    taken = take_snapshot(described(folder), folder, store)
    snapshot = taken.snapshot
    assert len(snapshot.cases) == 12
    assert snapshot.parent is None
    assert dict(snapshot.labels) == {0: "background", 1: "lesion"}
    case = next(case for case in snapshot.cases if case.case_id == "3")
    assert case.images == ("images/3.png",)
    assert [(mask.path, dict(mask.values)) for mask in case.masks] == [("masks/3.png", {255: 1})]
    assert store.path_of(snapshot, "images/3.png").read_bytes() == (folder / "images/3.png").read_bytes()
    assert set(taken.kept) <= {Kept.REFLINK, Kept.COPY, Kept.HARDLINK, Kept.PRESENT}


def test_the_same_data_elsewhere_have_the_same_digest(folder: Path, store: DatasetStore, tmp_path: Path) -> None:
    first = take_snapshot(described(folder), folder, store).snapshot
    shutil.copytree(folder, tmp_path / "copy")
    other = DatasetStore(tmp_path / "other store")
    assert take_snapshot(described(folder), tmp_path / "copy", other).snapshot.digest == first.digest


def test_nothing_new_gives_the_latest_and_a_change_gives_its_child(
    folder: Path, store: DatasetStore, picture: Picture
) -> None:
    first = take_snapshot(described(folder), folder, store)
    again = take_snapshot(described(folder), folder, store)
    assert again.unchanged
    assert again.snapshot == first.snapshot
    picture(folder / "images" / "12.png", seed=12)
    picture(folder / "masks" / "12.png", square=255)
    child = take_snapshot(described(folder), folder, store)
    assert not child.unchanged
    assert child.snapshot.parent == first.snapshot.digest
    store.check(first.snapshot)


def test_every_fault_of_the_data_is_told_at_once(folder: Path, store: DatasetStore, picture: Picture) -> None:
    (folder / "masks/0.png").unlink()
    picture(folder / "masks/1.png", square=255, size=(8, 11))
    picture(folder / "masks/2.png", square=7)
    (folder / "images/3.png").write_bytes((folder / "images/3.png").read_bytes()[:-30])
    (folder / "masks/4.png").write_bytes(b"")
    (folder / "images/5.png").unlink()
    text = "\n".join(faults_of(folder, store))
    for fault in (
        "set: case 0: image without mask",
        "masks/1.png: a mask of shape (11, 8, 1)",
        "masks/2.png: holds 7; expected 0, 255 as the label map says",
        "images/3.png: cannot be read",
        "masks/4.png: no PNG or JPEG content",
        "masks/5.png: mask without image; expected images/5.png",
    ):
        assert fault in text


def test_images_without_masks_may_be_left_out_and_are_told(folder: Path, store: DatasetStore) -> None:
    (folder / "masks/0.png").unlink()
    taken = take_snapshot(
        described(folder, ("  - pattern:\n", "  - pattern:\n      unannotated: skip\n")), folder, store
    )
    assert taken.unannotated == ("0",)
    assert len(taken.snapshot.cases) == 11


def test_empty_masks_are_told(folder: Path, store: DatasetStore, picture: Picture) -> None:
    picture(folder / "masks/4.png", square=0)
    assert take_snapshot(described(folder), folder, store).empty_masks == ("4",)


def test_groups_by_blocks(folder: Path, store: DatasetStore) -> None:
    description = described(
        folder,
        ("sources:", "held_out: {groups: ['10-19']}\nsources:"),
        ("  - pattern:\n", "  - pattern:\n      group: {blocks_of: 10}\n"),
    )
    snapshot = take_snapshot(description, folder, store).snapshot
    assert {case.case_id for case in snapshot.held_out_cases} == {"10", "11"}
    assert {case.group for case in snapshot.training_cases} == {"0-9"}


def test_a_patient_in_two_groups_is_refused(folder: Path, store: DatasetStore) -> None:
    rule = "      patient: {regex: '(.)'}\n      group: {blocks_of: 10}\n"
    faults = faults_of(folder, store, ("  - pattern:\n", "  - pattern:\n" + rule))
    assert faults == ["set: patient 1: in groups 0-9, 10-19; expected one"]


def test_an_empty_split_and_an_unknown_group_are_refused(folder: Path, store: DatasetStore) -> None:
    faults = faults_of(folder, store, ("sources:", "held_out: {share: 0.01}\nsources:"))
    assert faults == ["held_out: the held-out split is empty (12 groups); change the share"]
    faults = faults_of(folder, store, ("share: 0.01", "groups: [nobody]"))
    assert faults == ["set: held_out nobody: no case is of this group"]


def test_a_table_with_two_masks_and_attributes(folder: Path, store: DatasetStore, picture: Picture) -> None:
    rows = ["patient_id,visit,scan,organ_mask,lesion_mask,sex"]
    for case in range(6):
        picture(folder / "organs" / f"{case}.png", square=1 + case % 2)
        rows.append(
            f"p{case // 2},v{case % 2},images/{case}.png,organs/{case}.png,masks/{case}.png,{'MF'[case // 2 % 2]}"
        )
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "dataset.yaml").write_text(
        "name: set\nlicence: CC0\nsource: here\nlabels: {1: lung, 2: lesion}\nsources:\n  - table:\n      masks:\n"
        "        - {column: organ_mask, any_value: lung}\n        - {column: lesion_mask, values: {255: lesion}}\n"
        "      attributes: [sex]\n      tags: {site: A}\n"
    )
    snapshot = take_snapshot(described(folder), folder, store).snapshot
    case = snapshot.cases[2]
    assert (case.case_id, case.patient_id, case.group) == ("p1_v0", "p1", "p1")
    assert dict(case.attributes) == {"sex": "F", "site": "A"}
    assert [dict(mask.values) for mask in case.masks] == [{1: 1, 2: 1}, {255: 2}]


def test_faults_of_a_table_have_their_line(folder: Path, store: DatasetStore) -> None:
    (folder / "manifest.csv").write_text(
        "patient_id,visit,scan,lesion_mask\n"
        "p0,v0,images/0.png,masks/0.png\n"
        "p0,v0,images/1.png,masks/1.png\n"
        "p1,v0,images/2.png,\n"
        "p2,v0,nowhere.png,../outside.png\n"
        ",v0,images/3.png,masks/3.png\n"
    )
    (folder / "dataset.yaml").write_text(
        "name: set\nlicence: CC0\nsource: here\nlabels: {1: lesion}\nsources:\n  - table:\n      masks:\n"
        "        - {column: lesion_mask, values: {255: lesion}}\n"
    )
    text = "\n".join(faults_of(folder, store))
    for fault in (
        "manifest.csv:3: patient_id: case p0_v0 is also in line 2",
        "manifest.csv:4: lesion_mask: image without mask",
        "manifest.csv:5: scan: 'nowhere.png' does not lie below the source's root",
        "manifest.csv:5: lesion_mask: '../outside.png' does not lie below the source's root",
        "manifest.csv:6: patient_id: empty",
    ):
        assert fault in text


def test_several_mounts_and_sources_come_together(folder: Path, store: DatasetStore, tmp_path: Path) -> None:
    shutil.move(folder / "masks", tmp_path / "elsewhere" / "masks")
    second = tmp_path / "second"
    shutil.copytree(folder / "images", second / "images")
    shutil.copytree(tmp_path / "elsewhere" / "masks", second / "masks")
    (folder / "dataset.yaml").write_text(
        "name: set\nlicence: CC0\nsource: here\nlabels: {1: lesion}\nsources:\n"
        + "".join(
            f"  - pattern:\n      name: {name}\n      root: {root}\n      images: ['images/{{case}}.png']\n"
            "      masks:\n        - {path: 'masks/{case}.png', values: {255: lesion}}\n"
            for name, root in (("a", f"['.', '{tmp_path / 'elsewhere'}']"), ("b", f"'{second}'"))
        )
    )
    snapshot = take_snapshot(described(folder), folder, store).snapshot
    assert len(snapshot.cases) == 24
    assert {case.case_id for case in snapshot.cases} >= {"a_3", "b_3"}
    assert store.path_of(snapshot, "b/masks/3.png").read_bytes() == (second / "masks/3.png").read_bytes()


def test_a_file_below_two_roots_is_refused(folder: Path, store: DatasetStore, tmp_path: Path) -> None:
    shutil.copytree(folder / "images", tmp_path / "twice" / "images")
    root = f"      root: ['.', '{tmp_path / 'twice'}']\n"
    faults = faults_of(folder, store, ("  - pattern:\n", "  - pattern:\n" + root))
    assert any("images/3.png: lies below two roots" in fault for fault in faults)


def test_a_bucket(folder: Path, store: DatasetStore) -> None:
    system = fsspec.filesystem("memory")
    for file in (path for path in folder.rglob("*.png")):
        system.pipe_file(f"/bucket-of-pictures/{file.relative_to(folder).as_posix()}", file.read_bytes())
    root = "      root: memory://bucket-of-pictures\n"
    local = take_snapshot(described(folder), folder, DatasetStore(store.root / "local")).snapshot
    taken = take_snapshot(described(folder, ("  - pattern:\n", "  - pattern:\n" + root)), folder, store)
    assert taken.snapshot.digest == local.digest
    assert taken.kept == {Kept.POINTER: 24}
    assert store.path_of(taken.snapshot, "images/3.png").read_bytes() == (folder / "images/3.png").read_bytes()
    store.check(taken.snapshot)


def test_a_root_that_is_not_there(folder: Path, store: DatasetStore) -> None:
    faults = faults_of(folder, store, ("  - pattern:\n", "  - pattern:\n      root: nowhere\n"))
    assert faults[0].startswith("nowhere: cannot be listed")


@pytest.fixture
def nnunet(tmp_path: Path) -> Path:
    root = tmp_path / "Dataset001_Test"
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    affine = affine_from((1.0, 1.0, 2.0))
    random = np.random.default_rng(1)
    for case in ("a_1", "b_2"):
        for channel in range(2):
            image = Volume(random.normal(size=(5, 6, 4)).astype(np.float32), affine, Units.INTENSITY)
            write_volume(root / "imagesTr" / f"{case}_{channel:04d}.nii.gz", image)
        labels = random.integers(0, 3, (5, 6, 4)).astype(np.uint8)
        write_volume(root / "labelsTr" / f"{case}.nii.gz", Volume(labels, affine, Units.LABEL))
    (root / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "organ": 1, "lesion": 2}})
    )
    return root


def test_a_raw_nnunet_folder_needs_no_description(nnunet: Path, store: DatasetStore) -> None:
    description = describe_folder(nnunet, licence="CC0", source="here")
    snapshot = take_snapshot(description, nnunet, store).snapshot
    assert snapshot.name == "Dataset001_Test"
    assert dict(snapshot.labels) == {0: "background", 1: "organ", 2: "lesion"}
    assert snapshot.cases[0].images == ("imagesTr/a_1_0000.nii.gz", "imagesTr/a_1_0001.nii.gz")
    assert dict(snapshot.cases[0].masks[0].values) == {1: 1, 2: 2}


def test_channels_on_different_grids_and_a_lost_channel_are_refused(nnunet: Path, store: DatasetStore) -> None:
    image = Volume(np.zeros((5, 6, 4), dtype=np.float32), affine_from((1.0, 1.0, 2.5)), Units.INTENSITY)
    write_volume(nnunet / "imagesTr" / "a_1_0001.nii.gz", image)
    (nnunet / "imagesTr" / "b_2_0001.nii.gz").unlink()
    with pytest.raises(InputError) as caught:
        take_snapshot(describe_folder(nnunet, licence="CC0", source="here"), nnunet, store)
    text = str(caught.value)
    assert "imagesTr/a_1_0001.nii.gz: on another grid than imagesTr/a_1_0000.nii.gz" in text
    assert "imagesTr/b_2_0000.nii.gz: 1 channels; dataset.json names 2" in text


def test_a_manifest_needs_no_description(folder: Path, store: DatasetStore) -> None:
    (folder / "dataset.yaml").unlink()
    (folder / "manifest.csv").write_text(
        "patient_id,visit,study_day,scan,lesion_mask,site\n"
        + "".join(f"p{case},v0,0,images/{case}.png,masks/{case}.png,A\n" for case in range(4))
    )
    with pytest.raises(InputError, match="--licence: not given"):
        describe_folder(folder, source="here")
    snapshot = take_snapshot(describe_folder(folder, licence="CC0", source="here"), folder, store).snapshot
    assert dict(snapshot.labels) == {0: "background", 1: "lesion"}
    assert dict(snapshot.cases[0].masks[0].values) == {255: 1}
    assert dict(snapshot.cases[0].attributes) == {"site": "A"}


def test_a_folder_without_anything_to_go_by(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no dataset\.yaml, manifest\.csv or dataset\.json"):
        describe_folder(tmp_path, licence="CC0", source="here")


def test_a_name_that_is_no_name_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="name: 'a set'"):
        describe_folder(folder, name="a set")
