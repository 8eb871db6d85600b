"""The rows of a manifest, one by one, and what no two of them may share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from trialscan.study.columns import (
    KNOWN_COLUMNS,
    LESION_MASK,
    ORGAN_MASK,
    PATIENT,
    SCAN,
    SCAN_DATE,
    STUDY_DAY,
    VISIT,
)
from trialscan.study.entities import Scan
from trialscan.study.names import name_problem
from trialscan.study.paths import PathError, inside
from trialscan.study.table import Row, Table
from trialscan.study.timing import TimingError, parse_date, parse_day

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Entry:
    """A row whose patient and visit are well named; None stands for what is absent or at fault."""

    line: int
    patient_id: str
    visit: str
    study_day: int | None
    scan_date: date | None
    scan: Scan | None
    covariates: Mapping[str, str]


def read_entries(table: Table, folder: Path) -> list[Entry]:
    """Entries of the table's rows, one a patient and visit; paths are relative to `folder`. Records every fault."""
    entries: list[Entry] = []
    scan_lines: dict[Path, int] = {}
    visit_lines: dict[tuple[str, str], int] = {}
    for row in table.rows:
        entry = _read_entry(table, row, folder)
        if entry.scan is not None:
            line = scan_lines.setdefault(entry.scan.path.resolve(), row.line)
            if line != row.line:
                table.fault(row.line, SCAN, f"'{row.cell(SCAN)}' is already the scan of line {line}")
        if not (_is_named(table, row, PATIENT) and _is_named(table, row, VISIT)):
            continue
        line = visit_lines.setdefault((entry.patient_id, entry.visit), row.line)
        if line == row.line:
            entries.append(entry)
        else:
            table.fault(row.line, VISIT, f"patient {entry.patient_id} already has visit {entry.visit} in line {line}")
    return entries


def _read_entry(table: Table, row: Row, folder: Path) -> Entry:
    study_day = _parse(table, row, STUDY_DAY, parse_day)
    scan_date = _parse(table, row, SCAN_DATE, parse_date)
    if study_day is None and row.cell(STUDY_DAY):
        scan_date = None  # a day at fault is told once, not held against the patient's other visits
    if not row.cell(STUDY_DAY) and not row.cell(SCAN_DATE):
        column = STUDY_DAY if STUDY_DAY in table.columns else SCAN_DATE
        if column in table.columns:
            table.fault(row.line, column, f"there is neither a {STUDY_DAY} nor a {SCAN_DATE}")
    if SCAN in table.columns and not row.cell(SCAN):
        table.fault(row.line, SCAN, "the cell is empty")
    scan, organ_mask, lesion_mask = (
        _parse(table, row, column, lambda text: inside(folder, text)) for column in (SCAN, ORGAN_MASK, LESION_MASK)
    )
    return Entry(
        line=row.line,
        patient_id=row.cell(PATIENT),
        visit=row.cell(VISIT),
        study_day=study_day,
        scan_date=scan_date,
        scan=None if scan is None else Scan(scan, organ_mask, lesion_mask, f"{table.name}:{row.line}"),
        covariates={column: text for column, text in row.cells.items() if column not in KNOWN_COLUMNS},
    )


def _parse(table: Table, row: Row, column: str, parse: Callable[[str], Parsed]) -> Parsed | None:
    """The parsed cell; None where it is empty, or at fault, which is recorded."""
    text = row.cell(column)
    if not text:
        return None
    try:
        return parse(text)
    except (PathError, TimingError) as problem:
        table.fault(row.line, column, str(problem))
        return None


def _is_named(table: Table, row: Row, column: str) -> bool:
    problem = name_problem(row.cell(column))
    if problem is not None and column in table.columns:
        table.fault(row.line, column, problem)
    return problem is None
