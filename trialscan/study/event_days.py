"""Days of intercurrent events: columns of the manifest that the protocol's estimand names."""

from collections.abc import Iterable, Mapping

from trialscan.study.manifest_rows import Entry
from trialscan.study.protocol import Protocol
from trialscan.study.table import Table
from trialscan.study.timing import TimingError, parse_day


def check_event_days(table: Table, by_patient: Mapping[str, Iterable[Entry]], protocol: Protocol) -> None:
    """Record as a fault a column that is missing, a cell that is no day, and a patient with two days of one event."""
    for event in protocol.analysis.estimand.intercurrent_events:
        column = event.event_day
        if column is None or not table.columns:
            continue
        if column not in table.columns:
            table.fault(1, column, f"the column is missing; the protocol names it as the day of {event.event!r}")
            continue
        for entries in by_patient.values():
            _check_patient(table, column, list(entries))


def _check_patient(table: Table, column: str, entries: list[Entry]) -> None:
    first = entries[0]
    for entry in entries:
        text = entry.covariates.get(column, "")
        if text != first.covariates.get(column, ""):
            given = first.covariates.get(column, "")
            found, before = (f"'{each}'" if each else "an empty cell" for each in (text, given))
            fault = (
                f"{found}, but line {first.line} has {before} for patient {entry.patient_id}; all rows need the same"
            )
            table.fault(entry.line, column, fault)
        elif text:
            try:
                parse_day(text)
            except TimingError as problem:
                table.fault(entry.line, column, str(problem))
