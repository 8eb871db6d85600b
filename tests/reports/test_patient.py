"""The patient's report: what it says, what it must not say, and that it says it in the same bytes."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from pypdf.generic import StreamObject

from trialscan.errors import ReportError
from trialscan.reports import write_patient_report

MakeRun = Callable[..., Path]


def text_of(path: Path) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)


def flat(path: Path) -> str:
    return " ".join(text_of(path).split())


def test_first_page_tells_the_course_from_table_cells(make_run: MakeRun) -> None:
    report = write_patient_report(make_run(), "P001")
    page = " ".join(pypdf.PdfReader(report).pages[0].extract_text().split())
    assert "Patient P001" in page
    assert "TS-001" in page
    assert "2024-06-30" in page
    assert "trialscan 0.1.0" in page
    assert "Lesion burden was 184.0 ml (4.4 % of the lungs) at baseline (BL, day 0)" in page
    assert "−32 % from baseline" in page
    assert "ground glass" in page
    assert "50 mm" in page
    assert "page 1 of 2" in page


def test_twelve_visits_fill_pages_that_carry_notice_and_number(make_run: MakeRun) -> None:
    visits = tuple((f"V{n:02d}", 14 * n) for n in range(12))
    report = write_patient_report(make_run(visits=visits, patients=("P001",)), "P001")
    pages = pypdf.PdfReader(report).pages
    assert len(pages) > 2
    for number, page in enumerate(pages, start=1):
        words = " ".join(page.extract_text().split())
        assert "Not for diagnosis." in words
        assert f"page {number} of {len(pages)}" in words
    words = flat(report)
    assert words.count("growing +41 %") == 11
    assert all(visit in words for visit, _ in visits)


def test_flags_stand_before_the_course(make_run: MakeRun) -> None:
    run = make_run(
        failed=frozenset({("P001", "W04")}),
        missing=frozenset({("P001", "W12")}),
        flags={("P001", "BL"): ("outside_visit_window", "a_new_code")},
    )
    words = flat(write_patient_report(run, "P001"))
    flags, course = words.index("Flags"), words.index("Course")
    assert flags < words.index("W04: The scan could not be used: scan.nii.gz: truncated") < course
    assert flags < words.index("W12: The visit was planned but there is no scan.") < course
    assert flags < words.index("BL: A new code.") < course
    assert "visit failed" in words
    assert "planned day 84" in words


def test_without_flags_it_says_so(make_run: MakeRun) -> None:
    assert "No flags were raised" in flat(write_patient_report(make_run(), "P002"))


def test_no_arm_reaches_text_or_bytes(make_run: MakeRun) -> None:
    arms = ("Zanzibarol", "Qwertamab")
    run = make_run(arms=arms)
    assert "Zanzibarol" in (run / "tables" / "analysis.csv").read_text()
    report = write_patient_report(run, "P001")
    reader = pypdf.PdfReader(report)
    streams = [reader.get_object(number) for number in range(1, int(str(reader.trailer["/Size"])))]
    unpacked = b"".join(stream.get_data() for stream in streams if isinstance(stream, StreamObject))
    assert len(unpacked) > 10_000
    for arm in arms:
        assert arm not in text_of(report)
        assert arm.encode() not in report.read_bytes() + unpacked


def test_analysis_table_is_not_needed(make_run: MakeRun) -> None:
    run = make_run()
    (run / "tables" / "analysis.csv").unlink()
    assert write_patient_report(run, "P001").is_file()


def test_same_bytes_in_another_process_with_another_hash_seed(make_run: MakeRun) -> None:
    run = make_run(failed=frozenset({("P001", "W04")}))
    here = write_patient_report(run, "P001").read_bytes()
    again = write_patient_report(run, "P001").read_bytes()
    code = (
        "import sys,pathlib;from trialscan.reports import write_patient_report as w;w(pathlib.Path(sys.argv[1]),'P001')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, str(run)], check=True, env=environment)
    there = (run / "reports" / "patients" / "P001.pdf").read_bytes()
    assert hashlib.sha256(here).hexdigest() == hashlib.sha256(again).hexdigest() == hashlib.sha256(there).hexdigest()


def test_file_is_dated_by_the_cutoff_and_never_by_the_clock(make_run: MakeRun) -> None:
    dated = pypdf.PdfReader(write_patient_report(make_run(), "P001"))
    assert dated.metadata is not None
    assert dated.metadata["/CreationDate"] == "D:20240630000000Z"
    report = write_patient_report(make_run(data_cutoff=None), "P001")
    undated = pypdf.PdfReader(report)
    assert undated.metadata is not None
    assert undated.metadata["/CreationDate"] == "D:19700101000000Z"
    assert "Data cut-off not set" in flat(report)


def test_unknown_spacing_is_told_in_percent_and_without_scale(make_run: MakeRun) -> None:
    words = flat(write_patient_report(make_run(spacing_known=False), "P001"))
    assert "Lesion burden was 4.4 % of the lungs at baseline" in words
    assert "Pixel spacing unknown" in words
    assert " ml" not in words.split("Methods")[0]
    assert "50 mm" not in words


def test_single_visit(make_run: MakeRun) -> None:
    words = flat(write_patient_report(make_run(visits=(("BL", 0),)), "P001"))
    assert "There is no later measurement." in words


def test_no_lesions_and_no_organ(make_run: MakeRun) -> None:
    words = flat(write_patient_report(make_run(lesions=False, organ=False), "P001"))
    assert "Lesion burden was 0.0 ml at baseline" in words
    assert words.count("No lesion was found at any visit.") == 2
    assert "No outline of the lungs was to be had." in words


def test_every_visit_failed(make_run: MakeRun) -> None:
    everything = frozenset({("P001", "BL"), ("P001", "W04"), ("P001", "W12")})
    words = flat(write_patient_report(make_run(failed=everything), "P001"))
    assert "No visit gave a measurement." in words
    assert "No visit has a picture." in words


def test_a_model_is_never_called_a_reader(make_run: MakeRun) -> None:
    words = flat(write_patient_report(make_run(), "P001"))
    assert "organ by the model, lesions by the reader" in words
    assert "a reader's masks at BL" in words
    assert "not checked by a reader) at W04, W12" in words


def test_hostile_and_foreign_text_is_shown_not_obeyed(make_run: MakeRun) -> None:
    title = 'A <b>bold</b> & "quoted" title <para> with β ≥ − and \U0001f600'
    run = make_run(title=title, messages="</para><font color='red'>x & y</font>", failed=frozenset({("P001", "W04")}))
    words = flat(write_patient_report(run, "P001"))
    assert 'A <b>bold</b> & "quoted" title <para> with β ≥ − and' in words
    assert "</para><font color='red'>x & y</font>" in words


def test_long_names_stay_on_the_page(make_run: MakeRun) -> None:
    name, visit = "PATIENT-" + "0123456789" * 5, "VISIT-" + "ABCDEFGHIJ" * 5
    run = make_run(patients=(name,), visits=((visit, 0), ("W04", 28)), title="A very long title " * 12)
    assert visit in "".join(text_of(write_patient_report(run, name)).split())


@pytest.mark.parametrize("gone", ["tables/scans.csv", "tables/lesions.csv", "protocol.lock.yaml", "run.json"])
def test_a_missing_file_is_named(make_run: MakeRun, gone: str) -> None:
    run = make_run()
    (run / gone).unlink()
    with pytest.raises(ReportError, match=Path(gone).name):
        write_patient_report(run, "P001")


def test_unknown_patient_and_broken_cells_are_named(make_run: MakeRun) -> None:
    run = make_run()
    with pytest.raises(ReportError, match="no patient 'P999'"):
        write_patient_report(run, "P999")
    scans = run / "tables" / "scans.csv"
    scans.write_text(scans.read_text().replace("4200.0", "many", 1))
    with pytest.raises(ReportError, match=r"scans\.csv: P001 BL: organ_ml: 'many'"):
        write_patient_report(run, "P001")


def test_a_broken_picture_is_named(make_run: MakeRun) -> None:
    run = make_run()
    (run / "patients" / "P001" / "W04" / "panel.png").write_bytes(b"no picture")
    with pytest.raises(ReportError, match="W04"):
        write_patient_report(run, "P001")
