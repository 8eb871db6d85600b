"""Every fault of a manifest at its line, and what a good one becomes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trialscan.errors import ManifestError
from trialscan.study import Protocol, Study, load_protocol, load_study

Check = Callable[..., list[str]]

GOOD = "patient_id,visit,study_day,scan\np1,BL,0,a.nii\np1,W4,28,b.nii\np2,BL,0,c.nii\n"

# (text to replace in the good manifest, its replacement, the faults expected)
ROW_FAULTS = [
    ("p1,W4,28,b.nii", "p1,W4,28,gone.nii", ["3: scan: 'gone.nii' does not exist"]),
    ("p1,W4,28,b.nii", "p1,W4,28,", ["3: scan: the cell is empty"]),
    (
        "p1,W4,28,b.nii",
        "p1,W4,28,../outside.nii",
        ["3: scan: '../outside.nii' leaves the manifest's folder; keep data beside or below the manifest"],
    ),
    (
        "p1,W4,28,b.nii",
        "p1,W4,28,/etc/hostname",
        ["3: scan: '/etc/hostname' leaves the manifest's folder; keep data beside or below the manifest"],
    ),
    ("p1,W4,28,b.nii", "p1,W4,28,a.nii", ["3: scan: 'a.nii' is already the scan of line 2"]),
    ("p1,W4,28,b.nii", "p1,W4,28,./x/../a.nii", ["3: scan: './x/../a.nii' is already the scan of line 2"]),
    ("p1,W4,28,b.nii", "p1,W4,28.5,b.nii", ["3: study_day: '28.5' is not a whole number of days"]),
    ("p1,W4,28,b.nii", "p1,W4,٢٨,b.nii", ["3: study_day: '٢٨' is not a whole number of days"]),
    (
        "p1,W4,28,b.nii",
        "p1,W4,20240131,b.nii",
        ["3: study_day: day 20240131 is more than a hundred years away; dates belong in scan_date"],
    ),
    ("p1,W4,28,b.nii", "p1,W4,,b.nii", ["3: study_day: there is neither a study_day nor a scan_date"]),
    ("p1,W4,28,b.nii", "p1,W4,0,b.nii", ["3: study_day: patient p1 has another visit on the same day in line 2"]),
    ("p1,W4,28,b.nii", "p1,BL,28,b.nii", ["3: visit: patient p1 already has visit BL in line 2"]),
    (
        "p1,W4,28,b.nii",
        "../p1,W4,28,b.nii",
        ["3: patient_id: '../p1' cannot name a folder; expected at most 64 letters, digits, - and _"],
    ),
    (
        "p1,W4,28,b.nii",
        "p1,W 4,28,b.nii",
        ["3: visit: 'W 4' cannot name a folder; expected at most 64 letters, digits, - and _"],
    ),
    ("p1,W4,28,b.nii", "p1,,28,b.nii", ["3: visit: the cell is empty"]),
    ("p1,W4,28,b.nii", "p1,W4,28", ["3: found 3 cells; expected 4 as in the header"]),
    ("p1,W4,28,b.nii", "p1,W4,28,b.nii,", ["3: found 5 cells; expected 4 as in the header"]),
    ("p1,W4,28,b.nii", 'p1,W4,28,"b.nii"x', ["3: not a CSV row: ',' expected after '\"'"]),
    ("p1,W4,28,b.nii", "\np1,W4,28,gone.nii\n\n", ["4: scan: 'gone.nii' does not exist"]),
    ("p1,W4,28,b.nii", "p1,W4,28,b\0.nii", ["3: scan: 'b\\x00.nii' cannot be followed: embedded null byte"]),
    (
        "p1,W4,28,b.nii",
        f"p1,W4,28,{'b' * 300}",
        [f"3: scan: '{'b' * 300}' cannot be followed: File name too long"],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), ROW_FAULTS)
def test_a_fault_in_a_row_is_told_at_its_line(manifest_faults: Check, old: str, new: str, expected: list[str]):
    assert manifest_faults(GOOD.replace(old, new)) == [f"manifest.csv:{fault}" for fault in expected]


HEADER_FAULTS: list[tuple[str | bytes, list[str]]] = [
    ("", ["1: the file is empty; expected a header with the columns patient_id, visit, scan"]),
    ("\n\n", ["1: the file is empty; expected a header with the columns patient_id, visit, scan"]),
    ("patient_id,visit,study_day,scan\n", ["1: there is a header but no row"]),
    ("patient_id,visit,study_day,scan\n,,,\n", ["1: there is a header but no row"]),
    (
        "patient_id,visit,scan\np1,BL,a.nii\n",
        ["1: study_day: the column is missing, and so is scan_date; one of the two is needed"],
    ),
    (
        "patient,visits,study_day,file\np1,BL,0,a.nii\n",
        [
            "1: patient_id: the column is missing; did you mean it by 'patient'?",
            "1: visit: the column is missing; did you mean it by 'visits'?",
            "1: scan: the column is missing",
        ],
    ),
    (
        "patient_id;visit;study_day;scan\np1;BL;0;a.nii\n",
        [
            "1: patient_id: the column is missing; cells are to be separated by commas",
            "1: visit: the column is missing; cells are to be separated by commas",
            "1: scan: the column is missing; cells are to be separated by commas",
            "1: study_day: the column is missing, and so is scan_date; one of the two is needed",
        ],
    ),
    (
        "patient_id,visit,study_day,scan,scan\np1,BL,0,a.nii,b.nii\n",
        ["1: scan: the column is there 2 times (capitals aside); keep one"],
    ),
    ("patient_id,visit,study_day,scan,Arm\np1,BL,0,a.nii,A\n", ["1: Arm: write the column's name as 'arm'"]),
    (
        "patient_id,visit,study_day,scan,aval\np1,BL,0,a.nii,3\n",
        ["1: aval: the name is taken by analysis.csv's column AVAL; rename the column"],
    ),
    ("patient_id,visit,study_day,scan,\np1,BL,0,a.nii,3\n", ["1: column 5 has no name; name it or remove it"]),
    (
        GOOD.encode("utf-16"),
        ["1: byte 0xff is not UTF-8 text; save the file in the encoding UTF-8"],
    ),
    (
        GOOD.encode() + "p3,BL,0,é.nii\n".encode("latin-1"),
        ["5: byte 0xe9 is not UTF-8 text; save the file in the encoding UTF-8"],
    ),
]


@pytest.mark.parametrize(("content", "expected"), HEADER_FAULTS)
def test_a_fault_of_the_whole_table_is_told(manifest_faults: Check, content: str | bytes, expected: list[str]):
    assert manifest_faults(content) == [f"manifest.csv:{fault}" for fault in expected]


def test_every_fault_is_told_at_once_in_the_order_of_the_file(manifest_faults: Check):
    text = (
        "patient_id,visit,study_day,scan_date,scan,lesion_mask,arm\n"
        "p1,BL,0,,a.nii,m.nii,A\n"
        'p1,"W\n4",x,,gone.nii,none.nii,B\n'
        "p1,W8,,2024-02-30,../outside.nii,../m.nii,\n"
        "p1,BL,1,,b.nii,,A\n"
        "p2,BL,,,b.nii,,a\n"
    )
    assert manifest_faults(text, extra="analysis: {covariates: [site]}\n") == [
        "manifest.csv:1: site: the column is missing; the protocol names it as a covariate",
        "manifest.csv:3: study_day: 'x' is not a whole number of days",
        "manifest.csv:3: scan: 'gone.nii' does not exist",
        "manifest.csv:3: lesion_mask: 'none.nii' does not exist",
        "manifest.csv:3: visit: 'W\\n4' cannot name a folder; expected at most 64 letters, digits, - and _",
        "manifest.csv:3: arm: 'B', but line 2 puts patient p1 in 'A'",
        "manifest.csv:5: scan_date: '2024-02-30' is not a day of the calendar",
        "manifest.csv:5: scan: '../outside.nii' leaves the manifest's folder; keep data beside or below the manifest",
        "manifest.csv:5: lesion_mask: '../m.nii' leaves the manifest's folder; keep data beside or below the manifest",
        "manifest.csv:6: visit: patient p1 already has visit BL in line 2",
        "manifest.csv:7: study_day: there is neither a study_day nor a scan_date",
        "manifest.csv:7: scan: 'b.nii' is already the scan of line 6",
        "manifest.csv:7: arm: 'a' differs from 'A' in line 2 in capitals only; write one",
    ]


def test_a_missing_manifest_and_missing_arms_are_manifest_errors(
    tmp_path: Path, trial_folder: Path, make_protocol: Callable[[], Protocol]
):
    with pytest.raises(ManifestError, match=r"^gone\.csv: no such file$"):
        load_study(tmp_path / "gone.csv", make_protocol())
    with pytest.raises(ManifestError, match=r"^trial: cannot be read \(Is a directory\)$"):
        load_study(trial_folder, make_protocol())
    manifest = trial_folder / "manifest.csv"
    manifest.write_text(GOOD, encoding="utf-8")
    with pytest.raises(ManifestError, match=r"^arms\.csv: no such file$"):
        load_study(manifest, make_protocol(), tmp_path / "arms.csv")


@pytest.fixture
def study(trial_folder: Path, make_protocol: Callable[[], Protocol]) -> Study:
    manifest = trial_folder / "manifest.csv"
    manifest.write_bytes(
        b"\xef\xbb\xbfpatient_id,visit,study_day,scan,organ_mask,lesion_mask,arm,site,Comment\r\n"
        b'p2,BL,-3, c.nii ,m.nii,,B,Ulm,"one, two"\r\n'
        b"\r\n"
        b"p1,W4,+28,b.nii,,m.nii,,Bonn,\r\n"
        b"p1,BL,0,a.nii,,,A,Bonn,x\r\n"
    )
    return load_study(manifest, make_protocol())


def test_patients_and_visits_are_sorted_and_know_their_lines(study: Study):
    assert [patient.patient_id for patient in study.patients] == ["p1", "p2"]
    assert [(v.visit, v.study_day, v.scan.source) for v in study.patients[0].visits] == [
        ("BL", 0, "manifest.csv:5"),
        ("W4", 28, "manifest.csv:4"),
    ]
    assert study.patients[1].visits[0].study_day == -3


def test_paths_are_absolute_and_absent_masks_are_none(study: Study, trial_folder: Path):
    assert study.manifest == trial_folder / "manifest.csv"
    scan = study.patients[1].visits[0].scan
    assert (scan.path, scan.organ_mask, scan.lesion_mask) == (trial_folder / "c.nii", trial_folder / "m.nii", None)


def test_other_columns_are_covariates_and_the_arm_is_not(study: Study):
    assert study.covariate_names == ("site", "Comment")
    assert study.patients[1].visits[0].covariates == {"site": "Ulm", "Comment": "one, two"}
    assert (study.arms.of("p1"), study.arms.names) == ("A", ("A", "B"))


def test_a_relative_manifest_gives_the_same_study(study: Study, trial_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(trial_folder)
    assert load_study(Path("manifest.csv"), load_protocol("../made.yaml")) == study


def test_the_radiograph_cohort_loads_with_its_gaps(real_data: Path):
    study = load_study(real_data / "chest_xray" / "manifest.csv", load_protocol("chest_xray"))
    visits = [visit for patient in study.patients for visit in patient.visits]
    assert (len(study.patients), len(visits)) == (44, 57)
    assert sum(study.arms.of(visit.patient_id) is None for visit in visits) == 38
    assert study.arms.names == ("died", "survived")
    assert study.covariate_names == ("sex", "age", "finding")
    assert all(visit.scan.lesion_mask is not None for visit in visits)
    assert sum(len(patient.visits) > 1 for patient in study.patients) == 9


def test_the_ct_pair_loads_as_one_patient(real_data: Path):
    study = load_study(real_data / "lung_ct_pair" / "manifest.csv", load_protocol("covid_lung_ct"))
    (patient,) = study.patients
    assert [(visit.visit, visit.study_day) for visit in patient.visits] == [("BL", 0), ("FU", 365)]
    assert patient.baseline is patient.visits[0]
    assert study.arms.names == ()
