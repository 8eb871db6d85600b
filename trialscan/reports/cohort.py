"""Who is in the trial: the cohort by arm, and what went wrong at which visit."""

from collections.abc import Sequence
from statistics import median_low

from reportlab.platypus import Flowable, Table

from trialscan.reports import blocks
from trialscan.reports.comparison import Comparison, Observation
from trialscan.reports.flags import gathered_flags, severity
from trialscan.reports.fonts import markup
from trialscan.reports.run_folder import FAILED, MISSING, OK, RunFolder
from trialscan.reports.words import NONE, number, plain

_MOST_GROUPS = 6


def cohort_table(folder: RunFolder, comparison: Comparison) -> Table:
    """A column an arm: patients, visits by status, and the protocol's covariates (range and middle, or counts)."""
    arm_of = {row.patient_id: row.arm for row in comparison.observations}
    members = {arm: sorted(p for p, own in arm_of.items() if own == arm) for arm in comparison.arms}
    rows: list[list[str]] = [["Patients", *[str(len(members[arm])) for arm in comparison.arms]]]
    for status, words in ((OK, "Visits measured"), (FAILED, "Visits failed"), (MISSING, "Visits missing")):
        rows.append([words, *[_visits(folder, set(members[arm]), status) for arm in comparison.arms]])
    rows += [
        [plain(covariate).capitalize(), *[_spread(comparison, arm, covariate) for arm in comparison.arms]]
        for covariate in folder.protocol.analysis.covariates
    ]
    widths = [1.4, *[1.6] * len(comparison.arms)]
    return blocks.grid(["", *comparison.arms], rows, widths)


def trouble_section(folder: RunFolder) -> list[Flowable]:
    """Every patient with a failed or missing visit or a flag, worst first."""
    order = {patient: severity(folder.visits_of(patient)) for patient in folder.patient_ids}
    troubled = sorted((p for p in order if any(order[p])), key=lambda p: ([-n for n in order[p]], p))
    if not troubled:
        return [blocks.text("No visit failed, is missing or is flagged.")]
    rows: list[list[str | Flowable]] = []
    for patient in troubled:
        lines = [
            f"<b>{markup(', '.join(names))}</b>: {markup(words)}"
            for words, names in gathered_flags(folder.visits_of(patient))
        ]
        rows.append([patient, blocks.rich("<br/>".join(lines), "cell")])
    return [blocks.grid(["Patient", "Visits and what is wrong"], rows, [1.2, 6])]


def _visits(folder: RunFolder, patients: set[str], status: str) -> str:
    return str(sum(row.status == status for row in folder.visits if row.patient_id in patients))


def _spread(comparison: Comparison, arm: str, covariate: str) -> str:
    """Lowest, middle and highest value of numbers, counts of anything else; of one value a patient."""
    values = _one_a_patient(comparison.observations, arm, covariate.upper())
    given = [value for value in values if value]
    absent = f"; unknown {len(values) - len(given)}" if len(given) < len(values) else ""
    try:
        figures = [float(value) for value in given]
    except ValueError:
        counts = {value: given.count(value) for value in sorted(set(given))}
        shown = [f"{value} {count}" for value, count in list(counts.items())[:_MOST_GROUPS]]
        more = ", …" if len(counts) > _MOST_GROUPS else ""
        return ", ".join(shown) + more + absent
    if not figures:
        return NONE + absent
    low, middle, high = (number(value, 0) for value in (min(figures), median_low(figures), max(figures)))
    return f"{middle} ({low} to {high}){absent}"


def _one_a_patient(rows: Sequence[Observation], arm: str, column: str) -> list[str]:
    found: dict[str, str] = {}
    for row in rows:
        if row.arm == arm:
            found.setdefault(row.patient_id, row.covariates.get(column, ""))
    return [found[patient] for patient in sorted(found)]
