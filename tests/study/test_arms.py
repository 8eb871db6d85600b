"""Arms from either table, their contradictions, and their distance from patients."""

import dataclasses
import typing
from collections.abc import Callable
from pathlib import Path

import pytest

from trialscan.study import Arms, Patient, Protocol, Scan, Visit, load_study

PLAIN = "patient_id,visit,study_day,scan\np1,BL,0,a.nii\np2,BL,0,b.nii\n"
WITH_ARM = "patient_id,visit,study_day,scan,arm\np1,BL,0,a.nii,A\np2,BL,0,b.nii,\n"

ARM_FAULTS = [
    ("", ["arms.csv:1: the file is empty; expected a header with the columns patient_id, arm"]),
    ("patient_id,arm\n", ["arms.csv:1: there is a header but no row"]),
    ("patient_id,group\np1,A\n", ["arms.csv:1: arm: the column is missing"]),
    ("patient_id,ARM\np1,A\n", ["arms.csv:1: ARM: write the column's name as 'arm'"]),
    ("patient_id,arm\np1,A\np1,B\n", ["arms.csv:3: arm: 'B', but line 2 puts patient p1 in 'A'"]),
    ("patient_id,arm\np1,B\n", ["arms.csv:2: arm: 'B', but manifest.csv:2 puts patient p1 in 'A'"]),
    (
        "patient_id,arm\np 1,A\n,A\n",
        [
            "arms.csv:2: patient_id: 'p 1' cannot name a folder; expected at most 64 letters, digits, - and _",
            "arms.csv:3: patient_id: the cell is empty",
        ],
    ),
    (
        "patient_id,arm\np1,A\np2,b\np3,B\np4,B\n",
        ["arms.csv:4: arm: 'B' differs from 'b' in line 3 in capitals only; write one"],
    ),
]


@pytest.mark.parametrize(("arms", "expected"), ARM_FAULTS)
def test_a_fault_of_the_arms_is_told_at_its_line(
    manifest_faults: Callable[..., list[str]], arms: str, expected: list[str]
):
    assert manifest_faults(WITH_ARM, arms) == expected


def test_faults_of_both_files_are_told_together(manifest_faults: Callable[..., list[str]]):
    faults = manifest_faults(WITH_ARM.replace("b.nii", "gone.nii"), "patient_id,arm\np1,B\n")
    assert faults == [
        "manifest.csv:3: scan: 'gone.nii' does not exist",
        "arms.csv:2: arm: 'B', but manifest.csv:2 puts patient p1 in 'A'",
    ]


@pytest.mark.parametrize(
    ("manifest", "arms", "expected"),
    [
        (PLAIN, None, {}),
        (WITH_ARM, None, {"p1": "A"}),
        (PLAIN, "patient_id,arm\np2,B\np1,A\n", {"p1": "A", "p2": "B"}),
        (WITH_ARM, "patient_id,arm\np2,B\np1,A\np1,A\n", {"p1": "A", "p2": "B"}),
        (PLAIN, "patient_id,arm,randomised\np1,,2024-01-31\nnever_scanned,B,\n", {"never_scanned": "B"}),
    ],
)
def test_arms_come_from_the_manifest_and_from_their_own_table(
    trial_folder: Path,
    make_protocol: Callable[[], Protocol],
    manifest: str,
    arms: str | None,
    expected: dict[str, str],
):
    (trial_folder / "manifest.csv").write_text(manifest, encoding="utf-8")
    if arms is not None:
        (trial_folder / "arms.csv").write_text(arms, encoding="utf-8")
    study = load_study(
        trial_folder / "manifest.csv", make_protocol(), None if arms is None else trial_folder / "arms.csv"
    )
    assert study.arms == Arms(expected)
    assert study.arms.names == tuple(sorted(set(expected.values())))
    assert study.arms.of("p9") is None
    assert study.covariate_names == ()


def test_no_arm_is_reachable_from_a_patient_by_type():
    waiting: list[type] = [Patient]
    seen: set[type] = set()
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for name, annotation in typing.get_type_hints(current).items():
            assert "arm" not in name
            parts = (annotation, *typing.get_args(annotation))
            waiting += [part for part in parts if dataclasses.is_dataclass(part) and part not in seen]
    assert seen == {Patient, Visit, Scan}
