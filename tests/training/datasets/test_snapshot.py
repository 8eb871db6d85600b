"""A snapshot holds together, or says every fault; its digest is its content's."""

import pickle
from dataclasses import replace

import pytest

from trialscan.errors import InputError
from trialscan.training.datasets import AnnotatedCase, CaseMask, Snapshot, SnapshotFile


def a_snapshot() -> Snapshot:
    files = tuple(SnapshotFile(f"{kind}/{n}.png", f"{n}" * 64, 10) for n in (2, 1) for kind in ("images", "masks"))
    cases = tuple(
        AnnotatedCase(
            f"c{n}", f"p{n}", f"p{n}", (f"images/{n}.png",), (CaseMask(f"masks/{n}.png", {255: 1}),), {"site": "A"}
        )
        for n in (2, 1)
    )
    return Snapshot("set", "CC BY 4.0", "somewhere", {0: "background", 1: "lesion"}, files, cases, ("p2",))


def test_round_trip_and_digest() -> None:
    snapshot = a_snapshot()
    again = Snapshot.from_json(snapshot.to_json(), "snapshot.json")
    assert again == snapshot
    assert again.digest == snapshot.digest
    assert replace(snapshot, files=snapshot.files[::-1], cases=snapshot.cases[::-1]).digest == snapshot.digest
    assert replace(snapshot, licence="other").digest != snapshot.digest


def test_a_snapshot_survives_a_worker_process() -> None:
    assert pickle.loads(pickle.dumps(a_snapshot())) == a_snapshot()  # noqa: S301 - our own bytes


def test_held_out_cases_are_kept_from_training() -> None:
    snapshot = a_snapshot()
    assert [case.case_id for case in snapshot.training_cases] == ["c1"]
    assert [case.case_id for case in snapshot.held_out_cases] == ["c2"]


def test_a_folder_is_its_files() -> None:
    snapshot = a_snapshot()
    assert [file.path for file in snapshot.files_of("images")] == ["images/1.png", "images/2.png"]
    assert snapshot.files_of("image") == ()


def test_every_fault_is_listed() -> None:
    snapshot = a_snapshot()
    first, second = snapshot.cases
    with pytest.raises(InputError) as caught:
        replace(
            snapshot,
            labels={1: "lesion"},
            held_out=("p9",),
            cases=(
                replace(first, masks=()),
                replace(second, case_id="c1", images=("nowhere.png",), masks=(CaseMask("masks/2.png", {255: 7}),)),
                replace(second, case_id="c3", group="another"),
            ),
        )
    text = str(caught.value)
    for fault in (
        "labels: no name for 0",
        "case c1: named 2 times",
        "held_out p9: no case is of this group",
        "patient p2: in groups another, p2; expected one",
        "image without mask",
        "nowhere.png is not a file or folder",
        "value 255 means 7; expected one of [1]",
    ):
        assert fault in text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other"}', '{"schema": "trialscan-snapshot-1"}'])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"folder/snapshot\.json"):
        Snapshot.from_json(text, "folder/snapshot.json")


@pytest.mark.parametrize("path", ["../a.png", "/a.png", "a/../b.png", "./a.png", "a//b.png", ""])
def test_a_path_that_leaves_the_snapshot_is_refused(path: str) -> None:
    snapshot = a_snapshot()
    with pytest.raises(InputError, match="expected a plain relative path"):
        replace(snapshot, files=(*snapshot.files, SnapshotFile(path, "0" * 64, 1)))


@pytest.mark.parametrize("name", ["", "a b", "../x", "a" * 65])
def test_a_name_that_is_no_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected letters"):
        replace(a_snapshot(), name=name)


def test_a_folder_beside_one_of_a_longer_name() -> None:
    snapshot = a_snapshot()
    names = ("s-1/a", "s/a", "s/b", "s.x", "s0")
    snapshot = replace(snapshot, files=(*snapshot.files, *(SnapshotFile(name, "0" * 64, 1) for name in names)))
    assert [file.path for file in snapshot.files_of("s")] == ["s/a", "s/b"]
    assert [file.path for file in snapshot.files_of("s0")] == ["s0"]
