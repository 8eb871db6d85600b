"""The report of one patient for the physician: blind to the arm, flags first, then the course, then the evidence."""

from collections.abc import Sequence
from pathlib import Path

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer

from trialscan.reports import blocks, style
from trialscan.reports.document import Letterhead, write_pdf
from trialscan.reports.drawing import to_drawing
from trialscan.reports.flags import gathered_flags
from trialscan.reports.fonts import markup, register_fonts
from trialscan.reports.methods import cite_as, methods_text, provenance_table
from trialscan.reports.patient_chart import trajectory_svg
from trialscan.reports.patient_panels import panel_section
from trialscan.reports.patient_summary import summary
from trialscan.reports.patient_tables import lesion_section, quality_table, visit_table
from trialscan.reports.run_folder import RunFolder, VisitRow
from trialscan.reports.words import NONE, plain, short_digest


def write_patient_report(run: Path, patient_id: str) -> Path:
    """Write `reports/patients/<id>.pdf` from the run's tables and the patient's folder.

    Raises
    ------
    ReportError
        A table or picture is absent or unreadable, or the run has no such patient.
    """
    register_fonts()
    folder = RunFolder(run)
    visits = folder.visits_of(patient_id)
    study = folder.protocol.study
    letterhead = Letterhead(
        title=f"Patient {patient_id}, study {study.id}",
        running=f"{study.id} · patient {patient_id} · trialscan {folder.version}",
        notice=folder.protocol.report.notice,
        data_cutoff=study.data_cutoff,
    )
    story = [*_first_page(folder, patient_id, visits), *_evidence(folder, patient_id, visits)]
    return write_pdf(run / "reports" / "patients" / f"{patient_id}.pdf", letterhead, story)


def flag_box(visits: Sequence[VisitRow]) -> Flowable:
    """The first thing on the page: what to know before reading on."""
    found = gathered_flags(visits)
    if not found:
        return blocks.box([blocks.rich("<b>No flags</b> were raised at any visit.")], alert=False)
    lines = [blocks.rich("<b>Flags</b>")]
    for words, names in found:
        where = ", ".join(markup(name) for name in names)
        lines.append(blocks.rich(f"<bullet>•</bullet><b>{where}</b>: {markup(words)}", "flag"))
    return blocks.box(lines, alert=True)


def _first_page(folder: RunFolder, patient_id: str, visits: Sequence[VisitRow]) -> list[Flowable]:
    study = folder.protocol.study
    cutoff = "not set" if study.data_cutoff is None else study.data_cutoff.isoformat()
    known = blocks.facts(
        [
            ("Study", f"{study.id}: {study.title}"),
            ("Data cut-off", cutoff),
            ("Protocol", f"sha256 {short_digest(folder.protocol_sha256)}"),
            ("Software", f"trialscan {folder.version}"),
            ("Sponsor", study.sponsor or NONE),
            ("Modality", f"{study.modality}, {plain(folder.protocol.segmentation.organ_name)}"),
        ]
    )
    return [
        blocks.text(f"Patient {patient_id}", "title"),
        Spacer(1, 1.5 * mm),
        known,
        Spacer(1, 2.5 * mm),
        flag_box(visits),
        *blocks.heading("Course"),
        *[blocks.text(words, "lead") for words in summary(folder, patient_id, visits)],
        Spacer(1, 1.5 * mm),
        to_drawing(trajectory_svg(folder, visits), style.CONTENT_WIDTH),
        blocks.text(_chart_caption(), "caption"),
        *panel_section(folder, visits),
    ]


def _chart_caption() -> str:
    return (
        "Points are measured visits. The shaded band and the upright bars are the 95 % limits of the true burden, "
        "given the measurement error of its lesions. The horizontal line is the baseline. An upright dotted line marks "
        "a visit that gave no number."
    )


def _evidence(folder: RunFolder, patient_id: str, visits: Sequence[VisitRow]) -> list[Flowable]:
    return [
        *blocks.heading("Visits"),
        visit_table(folder, visits),
        *lesion_section(folder, patient_id, visits),
        *blocks.heading("Quality and alignment"),
        quality_table(folder, visits),
        blocks.text(
            "Dice: overlap, 1 is perfect. Jacobian: local change of volume, 1 is none. All numbers: quality.json.",
            "caption",
        ),
        *blocks.heading("Methods"),
        *[blocks.text(paragraph) for paragraph in methods_text(folder, visits)],
        *blocks.heading("Provenance"),
        blocks.text(
            "First twelve characters of the sha256 digests of what each visit's numbers were made from. The full "
            "digests stand in tables/scans.csv and, with every step, in ledger.jsonl.",
            "caption",
        ),
        provenance_table(visits),
        Spacer(1, 2 * mm),
        blocks.text(f"Cite as: {cite_as(folder)}", "caption"),
    ]
