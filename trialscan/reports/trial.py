"""The report of the trial for the statistician and the sponsor: cohort, courses by arm, comparison, what is missing."""

from pathlib import Path

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer

from trialscan.reports import blocks, style
from trialscan.reports.cohort import cohort_table, trouble_section
from trialscan.reports.comparison import Comparison
from trialscan.reports.document import Letterhead, write_pdf
from trialscan.reports.drawing import to_drawing
from trialscan.reports.figures import draw_figures
from trialscan.reports.fonts import register_fonts
from trialscan.reports.methods import cite_as, trial_methods
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.trial_results import (
    absent_section,
    confidence,
    convergence_section,
    headline,
    slope_section,
    visit_section,
)
from trialscan.reports.words import NONE, plain, short_digest


def write_trial_report(run: Path) -> Path:
    """Write `reports/trial.pdf` from scans.csv, analysis.csv, results.csv and models.json; it shows the arms.

    Raises
    ------
    ReportError
        A table of the run is absent or unreadable.
    """
    register_fonts()
    folder, comparison = RunFolder(run), Comparison(run)
    study = folder.protocol.study
    letterhead = Letterhead(
        title=f"Trial report, study {study.id}",
        running=f"{study.id} · trial report, unblinded · trialscan {folder.version}",
        notice=folder.protocol.report.notice,
        data_cutoff=study.data_cutoff,
    )
    figures = {
        name: to_drawing(svg, style.CONTENT_WIDTH) for name, (svg, _) in draw_figures(folder, comparison).items()
    }
    story = [
        *_opening(folder, comparison),
        *_courses(folder, figures["trajectories"]),
        *_comparison(folder, comparison, figures["arm_comparison"]),
        *_visits(folder, figures["missing_visits"]),
        *_closing(folder, comparison),
    ]
    return write_pdf(run / "reports" / "trial.pdf", letterhead, story)


def _opening(folder: RunFolder, comparison: Comparison) -> list[Flowable]:
    study = folder.protocol.study
    known = blocks.facts(
        [
            ("Study", f"{study.id}: {study.title}"),
            ("Data cut-off", "not set" if study.data_cutoff is None else study.data_cutoff.isoformat()),
            ("Protocol", f"sha256 {short_digest(folder.protocol_sha256)}"),
            ("Software", f"trialscan {folder.version}"),
            ("Sponsor", study.sponsor or NONE),
            ("Modality", f"{study.modality}, {plain(folder.protocol.segmentation.organ_name)}"),
        ]
    )
    return [
        blocks.text("Trial report", "title"),
        Spacer(1, 1.5 * mm),
        known,
        blocks.text("This report shows the arms. Patients' reports and the index do not.", "caption"),
        Spacer(1, 1.5 * mm),
        headline(folder, comparison),
        *blocks.heading("Cohort"),
        cohort_table(folder, comparison),
        blocks.text(
            "Numbers: the middle value of the patients (lowest to highest). Else: patients by value.", "caption"
        ),
    ]


def _courses(folder: RunFolder, figure: Flowable) -> list[Flowable]:
    least = folder.protocol.analysis.min_patients_per_arm
    caption = (
        "Primary endpoint as measured. Thin lines are patients; the thick line is the arm's mean at each visit with at "
        f"least {least} patients. Drawn from statistics/figures/trajectories.csv."
    )
    return [*blocks.heading("Courses by arm", 85 * mm), figure, blocks.text(caption, "caption")]


def _comparison(folder: RunFolder, comparison: Comparison, figure: Flowable) -> list[Flowable]:
    caption = (
        f"Primary endpoint. Points are estimates, bars {confidence(folder)} confidence intervals; left by "
        "Kenward–Roger, right exact t. Drawn from statistics/figures/arm_comparison.csv."
    )
    slopes, visits = slope_section(folder, comparison), visit_section(folder, comparison)
    shown = [*blocks.heading("Comparison of the arms", 85 * mm), figure, blocks.text(caption, "caption")]
    return [*(shown if slopes or visits else []), *slopes, *visits, *absent_section(comparison)]


def _visits(folder: RunFolder, figure: Flowable) -> list[Flowable]:
    caption = "A row a patient, a column a visit; blank where neither protocol nor manifest has the visit."
    return [
        *blocks.heading("Visits", figure.height + 20 * mm),
        figure,
        blocks.text(caption, "caption"),
        *blocks.heading("Failed, missing and flagged visits"),
        *trouble_section(folder),
    ]


def _closing(folder: RunFolder, comparison: Comparison) -> list[Flowable]:
    return [
        *convergence_section(comparison),
        *blocks.heading("Methods"),
        *[blocks.text(paragraph) for paragraph in trial_methods(folder)],
        Spacer(1, 2 * mm),
        blocks.text(f"Cite as: {cite_as(folder)}", "caption"),
    ]
