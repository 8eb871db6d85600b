"""The report of the trial for the statistician and the sponsor: cohort, courses by arm, comparison, what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reportlab.graphics.shapes import Drawing
from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Spacer

from trialscan.reports import blocks
from trialscan.reports.cohort import cohort_table, trouble_section
from trialscan.reports.comparison import SLOPES, Comparison
from trialscan.reports.document import Letterhead, write_pdf
from trialscan.reports.drawing import Absent, Picture, to_drawing
from trialscan.reports.figure_change import CEILING_PERCENT
from trialscan.reports.figures import draw_figures
from trialscan.reports.fonts import register_fonts
from trialscan.reports.methods import cite_as, trial_methods
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.trial_fits import absent_section, convergence_section, inference, plan_section
from trialscan.reports.trial_further import further_section, missing_section, multiplicity_section
from trialscan.reports.trial_results import confidence, headline, slope_section, visit_section
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
    found = draw_figures(folder, comparison)
    shown = {name: _shown(name, each) for name, each in found.items() if isinstance(each, Picture)}
    absent = {name: each.reason for name, each in found.items() if isinstance(each, Absent)}
    story = [
        *_opening(folder, comparison),
        *_courses(folder, shown),
        *_comparison(folder, comparison, shown),
        *_diagnostics(comparison, shown),
        *_sensitivity(folder, comparison, shown),
        *absent_section(comparison, absent),
        *_visits(folder, shown),
        *_closing(folder),
    ]
    return write_pdf(run / "reports" / "trial.pdf", letterhead, story)


@dataclass(frozen=True)
class _Shown:
    """A figure as the report shows it: its drawing, its name as a file, and what its caption adds."""

    name: str
    drawing: Drawing
    note: str

    def with_caption(self, words: str, *, room: float = 14 * mm) -> list[Flowable]:
        """The drawing over its caption, on one page."""
        caption = f"{words} {self.note}".strip() + f" Drawn from statistics/figures/{self.name}.csv."
        height = self.drawing.height + room
        return [CondPageBreak(height), self.drawing, blocks.text(caption, "caption"), Spacer(1, 3 * mm)]


def _shown(name: str, picture: Picture) -> _Shown:
    return _Shown(name, to_drawing(picture.svg), picture.note)


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


def _courses(folder: RunFolder, shown: Mapping[str, _Shown]) -> list[Flowable]:
    least = folder.protocol.analysis.min_patients_per_arm
    captions = {
        "trajectories": "Primary endpoint as measured. Thin lines are patients; the thick line is the arm's mean at "
        f"each visit with at least {least} patients.",
        "waterfall": "A bar a patient: the lowest percent change after baseline. Grey behind it: what 95 % of repeated "
        "measurements of an unchanged burden stay within, by the size of this patient's lesions, slice thickness and "
        f"scanner. The axis ends at +{CEILING_PERCENT:g} %.",
        "spider": "A line a patient from the baseline at 0; points mark changes of the burden beyond measurement "
        f"error. The axis ends at +{CEILING_PERCENT:g}.",
    }
    return _section("Courses by arm", shown, captions)


def _comparison(folder: RunFolder, comparison: Comparison, shown: Mapping[str, _Shown]) -> list[Flowable]:
    slopes, visits = slope_section(folder, comparison), visit_section(folder, comparison)
    level, primary = f"{confidence(folder)} confidence intervals", comparison.primary
    means = {
        "ls_means": f"Primary endpoint. Points are estimates, bars {level}; below, the patients at each visit. Left: "
        f"{inference(comparison, SLOPES, primary)}; right: {inference(comparison, comparison.visitwise_kind, primary)}."
    }
    forests = {
        name: f"Differences from the reference arm with {level}; left of 0 the arm fell more or rose less. "
        "Percentages stand on the scale of the ratio's logarithm; an arrow marks an interval that leaves the axis."
        for name in shown
        if name.startswith("forest")
    }
    groups = {"subgroups": f"The primary comparison in subgroups, with {level} and the test of interaction."}
    return [
        *plan_section(folder, comparison),
        *_section("Comparison of the arms", shown, means),
        *slopes,
        *visits,
        *_section("Differences from the reference arm", shown, forests),
        *_section("Subgroups", shown, groups),
    ]


def _diagnostics(comparison: Comparison, shown: Mapping[str, _Shown]) -> list[Flowable]:
    captions = {
        "covariance": "Primary endpoint, on the scale of analysis: correlations between visits, standard deviations on "
        "the diagonal.",
        "residuals": "Primary endpoint. Residuals are scaled by the inverse Cholesky factor of each patient's "
        "covariance: under the model they have variance 1, no correlation, and lie on the line at the right. Dashed: "
        "± 1.96. Patients beyond ± 3 are named.",
    }
    return [*_section("Covariance and residuals", shown, captions), *convergence_section(comparison)]


def _sensitivity(folder: RunFolder, comparison: Comparison, shown: Mapping[str, _Shown]) -> list[Flowable]:
    tipping = {
        "tipping_point": "Delta is added to missing outcomes, on the scale of analysis; the line marks where the "
        "conclusion turns."
    }
    return [
        *missing_section(comparison),
        *further_section(folder, comparison),
        *_section("Tipping point", shown, tipping),
        *multiplicity_section(comparison),
    ]


def _visits(folder: RunFolder, shown: Mapping[str, _Shown]) -> list[Flowable]:
    captions = {
        "missing_visits": "A row a patient, a column a visit; blank where neither protocol nor manifest has the visit."
    }
    return [
        *_section("Visits", shown, captions),
        *blocks.heading("Failed, missing and flagged visits"),
        *trouble_section(folder),
    ]


def _section(title: str, shown: Mapping[str, _Shown], captions: Mapping[str, str]) -> list[Flowable]:
    """A heading and the figures that are there, each with its caption; nothing where none is."""
    present = [name for name in captions if name in shown]
    if not present:
        return []
    story = blocks.heading(title, shown[present[0]].drawing.height + 24 * mm)
    return [*story, *(part for name in present for part in shown[name].with_caption(captions[name]))]


def _closing(folder: RunFolder) -> list[Flowable]:
    *paragraphs, last = [blocks.text(paragraph) for paragraph in trial_methods(folder)]
    cite = blocks.text(f"Cite as: {cite_as(folder)}", "caption")
    return [*blocks.heading("Methods"), *paragraphs, KeepTogether([last, Spacer(1, 2 * mm), cite])]
