"""The cohort on one page: every patient with status, burden and flags, worst first, and links to the reports.

The page knows no arm. It is one file without scripts or anything from outside, so that it opens from a disk or a mail.
"""

import base64
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from trialscan.reports.figure_missing import missing_svg
from trialscan.reports.figure_trajectories import cohort_svg, measure_words
from trialscan.reports.flags import gathered_flags, severity
from trialscan.reports.fonts import UNKNOWN_GLYPH
from trialscan.reports.run_folder import FAILED, MISSING, OK, RunFolder, VisitRow
from trialscan.reports.words import NONE, day, number, plural, short_digest, signed_percent


@dataclass(frozen=True)
class PatientLine:
    """One row of the page, as words."""

    patient_id: str
    has_report: bool
    state: str
    measured: str
    first: str
    last: str
    change: str
    flags: tuple[str, ...]


def write_index(run: Path) -> Path:
    """Write `reports/index.html` from scans.csv; raises ReportError where the run lacks a table."""
    folder = RunFolder(run)
    target = run / "reports" / "index.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = Environment(
        loader=PackageLoader("trialscan.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    target.write_text(
        environment.get_template("index.html.j2").render(_content(folder, target.parent)), encoding="utf-8"
    )
    return target


def _content(folder: RunFolder, reports: Path) -> dict[str, object]:
    study = folder.protocol.study
    return {
        "study": study,
        "organ": folder.protocol.segmentation.organ_name,
        "notice": folder.protocol.report.notice,
        "cutoff": "not set" if study.data_cutoff is None else study.data_cutoff.isoformat(),
        "version": folder.version,
        "protocol": short_digest(folder.protocol_sha256),
        "measure": measure_words(folder.protocol.endpoints.primary.measure),
        "counts": _counts(folder),
        "patients": _lines(folder, reports),
        "has_trial": (reports / "trial.pdf").is_file(),
        "cohort_figure": _data_uri(cohort_svg(folder)),
        "missing_figure": _data_uri(missing_svg(folder)),
    }


def _counts(folder: RunFolder) -> list[tuple[str, int]]:
    states = [row.status for row in folder.visits]
    flagged = sum(1 for row in folder.visits if row.status == OK and row.flags)
    return [
        ("patients", len(folder.patient_ids)),
        ("visits measured", states.count(OK)),
        ("measured with flags", flagged),
        ("visits failed", states.count(FAILED)),
        ("visits missing", states.count(MISSING)),
    ]


def _lines(folder: RunFolder, reports: Path) -> list[PatientLine]:
    order = {patient: severity(folder.visits_of(patient)) for patient in folder.patient_ids}
    worst_first = sorted(folder.patient_ids, key=lambda patient: ([-n for n in order[patient]], patient))
    return [_line(folder, patient, reports) for patient in worst_first]


def _line(folder: RunFolder, patient_id: str, reports: Path) -> PatientLine:
    visits = folder.visits_of(patient_id)
    measure = folder.protocol.endpoints.primary.measure
    measured = [row for row in visits if row.number(measure) is not None]
    failed, missing, flags = severity(visits)
    states = [f"{count} {word}" for count, word in ((failed, "failed"), (missing, "missing")) if count]
    states += [plural(flags, "flag")] if flags else []
    ok = sum(row.status == OK for row in visits)
    change = folder.change_percent(patient_id, measured[-1].visit) if measured else None
    return PatientLine(
        patient_id=_shown(patient_id),
        has_report=(reports / "patients" / f"{patient_id}.pdf").is_file(),
        state=", ".join(states) or "ok",
        measured=f"{ok} of {len(visits)}",
        first=_amount(measured[0], measure) if measured else NONE,
        last=_amount(measured[-1], measure) if len(measured) > 1 else NONE,
        change=signed_percent(change),
        flags=tuple(_shown(f"{', '.join(names)}: {words}") for words, names in gathered_flags(visits)),
    )


def _amount(row: VisitRow, measure: str) -> str:
    digits = 2 if measure.endswith("_percent") else 1
    return f"{number(row.number(measure), digits)} ({day(row.study_day)})"


def _shown(text: str) -> str:
    """The text without control characters, which HTML cannot hold."""
    return "".join(char if char >= " " else UNKNOWN_GLYPH for char in text)


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
