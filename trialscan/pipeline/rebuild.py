"""Draws the reports of a finished run again from its tables."""

from collections.abc import Mapping
from pathlib import Path

from trialscan import __version__
from trialscan.audit import Ledger, LedgerEntry, digest_file, read_sums, update_sums
from trialscan.audit.json_file import read_json, write_json
from trialscan.pipeline.record import LEDGER, RUN
from trialscan.reports import write_figures, write_index, write_patient_report, write_trial_report


def rebuild_reports(run: Path, patient_id: str | None = None) -> list[Path]:
    """Rewrite the reports of all patients and the trial, or of one patient; returns the files drawn.

    The same version draws the same bytes, and the record stays as it was. Where a report comes out otherwise (another
    version of trialscan), an entry in the ledger says so. Only the files drawn get new digests, so that any other
    deviation from the record still shows.

    Raises
    ------
    VerificationError
        The folder holds no finished run.
    ReportError
        A table is absent, or the patient is not in the run.
    """
    recorded = read_sums(run)
    drawn = [write_patient_report(run, patient_id)] if patient_id else _draw_all(run)
    digests = {path.relative_to(run).as_posix(): digest_file(path) for path in drawn}
    changed = {name: digest for name, digest in digests.items() if recorded.get(name) != digest}
    if changed:
        _enter(run, changed)
    return drawn


def _draw_all(run: Path) -> list[Path]:
    patients = sorted(path.name for path in (run / "patients").iterdir() if path.is_dir())
    drawn = [*write_figures(run), *(write_patient_report(run, patient_id) for patient_id in patients)]
    return [*drawn, write_trial_report(run), write_index(run)]


def _enter(run: Path, changed: Mapping[str, str]) -> None:
    ledger = Ledger(run / LEDGER)
    ledger.add(LedgerEntry("redraw", "reports", "ok", outputs=changed, facts={"trialscan": __version__}))
    facts = read_json(run / RUN)
    write_json(run / RUN, {**facts, "ledger": {"entries": len(ledger), "head": ledger.head}})
    update_sums(run, [*changed, LEDGER, RUN])
