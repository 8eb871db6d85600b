"""From a manifest to a `Study`, with every fault told at once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from trialscan.errors import ManifestError
from trialscan.study.arms import as_arms, read_arms, read_assignment
from trialscan.study.columns import (
    ANALYSIS_COLUMNS,
    KNOWN_COLUMNS,
    REQUIRED_COLUMNS,
    SCAN_DATE,
    STUDY_DAY,
)
from trialscan.study.entities import Patient, Study, Visit
from trialscan.study.event_days import check_event_days
from trialscan.study.faults import as_row_faults
from trialscan.study.manifest_rows import Entry, read_entries
from trialscan.study.protocol import Protocol
from trialscan.study.sections import VisitSettings
from trialscan.study.table import Table, read_table
from trialscan.study.timing import FURTHEST_DAY, days_from_dates, windows


def load_study(manifest: Path, protocol: Protocol, arms: Path | None = None) -> Study:
    """Read and check a manifest, and the arms where they come in a table of their own.

    Raises ManifestError with every fault of both files, as `manifest.csv:14: scan: …`. Scans and masks must exist;
    whether they can be read is not looked at here. Columns without a meaning of their own become covariates.
    """
    table = read_table(manifest, KNOWN_COLUMNS, REQUIRED_COLUMNS, ManifestError)
    _check_columns(table, protocol)
    by_patient: dict[str, list[Entry]] = defaultdict(list)
    for entry in read_entries(table, manifest.parent):
        by_patient[entry.patient_id].append(entry)
    days = {patient_id: _study_days(table, entries, protocol) for patient_id, entries in by_patient.items()}
    check_event_days(table, by_patient, protocol)
    stated = read_assignment(table)
    assigned, arms_table = read_arms(arms, stated, table.name) if arms is not None else ({}, None)

    faults = as_row_faults(table.name, table.faults)
    if arms_table is not None:
        faults += as_row_faults(arms_table.name, arms_table.faults)
    if faults:
        raise ManifestError(faults)
    return Study(
        patients=tuple(_patient(by_patient[name], days[name], protocol.visits) for name in sorted(by_patient)),
        arms=as_arms(stated, assigned),
        manifest=manifest.absolute(),
        covariate_names=_covariates(table),
    )


def _covariates(table: Table) -> tuple[str, ...]:
    return tuple(column for column in table.columns if column not in KNOWN_COLUMNS)


def _check_columns(table: Table, protocol: Protocol) -> None:
    if not table.columns:
        return
    lowered = {column.lower() for column in table.columns}
    if STUDY_DAY not in lowered and SCAN_DATE not in lowered:
        table.fault(1, STUDY_DAY, f"the column is missing, and so is {SCAN_DATE}; one of the two is needed")
    for name in protocol.analysis.manifest_columns:
        if name not in table.columns:
            table.fault(1, name, "the column is missing; the protocol names it as a covariate")
    for column in _covariates(table):
        if column.upper() in ANALYSIS_COLUMNS:
            table.fault(1, column, f"the name is taken by analysis.csv's column {column.upper()}; rename the column")


def _study_days(table: Table, entries: Iterable[Entry], protocol: Protocol) -> dict[str, int]:
    """Study day by visit of one patient, from days or else from dates; refuses a mix, and two visits on one day."""
    entries = list(entries)
    timed = [entry for entry in entries if entry.study_day is not None or entry.scan_date is not None]
    days = {entry.visit: entry.study_day for entry in timed if entry.study_day is not None}
    dates = {entry.visit: entry.scan_date for entry in timed if entry.scan_date is not None}
    if len(days) < len(timed):
        for entry in timed:
            if entry.scan_date is None:
                text = f"other visits of patient {entry.patient_id} have a {SCAN_DATE} only; give all visits the same"
                table.fault(entry.line, SCAN_DATE, text)
        days = days_from_dates(dates, protocol.visits.baseline)
    _check_days(table, timed, days)
    return days


def _check_days(table: Table, entries: Iterable[Entry], days: dict[str, int]) -> None:
    lines: dict[int, int] = {}
    for entry in entries:
        day = days.get(entry.visit)
        if day is None:
            continue
        column = STUDY_DAY if day == entry.study_day else SCAN_DATE
        if abs(day) > FURTHEST_DAY:
            table.fault(entry.line, column, f"{day} days from the baseline are more than a hundred years")
        earlier = lines.setdefault(day, entry.line)
        if earlier != entry.line:
            text = f"patient {entry.patient_id} has another visit on the same day in line {earlier}"
            table.fault(entry.line, column, text)


def _patient(entries: Iterable[Entry], days: dict[str, int], settings: VisitSettings) -> Patient:
    visits = [
        Visit(entry.patient_id, entry.visit, days[entry.visit], entry.scan, entry.covariates)
        for entry in entries
        if entry.scan is not None
    ]
    visits.sort(key=lambda visit: visit.study_day)
    patient = Patient(visits[0].patient_id, tuple(visits), settings.baseline)
    judged = zip(patient.visits, windows(patient, settings), strict=True)
    return replace(patient, visits=tuple(replace(visit, in_window=answer) for visit, answer in judged))
