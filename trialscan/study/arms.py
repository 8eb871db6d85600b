"""Arms: from the manifest's own column, or from a table that arrives later."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from trialscan.errors import ManifestError
from trialscan.study.columns import ARM, PATIENT
from trialscan.study.entities import Arms
from trialscan.study.names import name_problem
from trialscan.study.table import Row, Table, read_table


class Assigned(NamedTuple):
    """An arm, and the line that first gives it."""

    arm: str
    line: int


def read_assignment(table: Table) -> dict[str, Assigned]:
    """Arm by patient from a table's rows; an empty cell says nothing. Contradictions are recorded in the table."""
    assignment: dict[str, Assigned] = {}
    for row in table.rows:
        patient_id, arm = row.cell(PATIENT), row.cell(ARM)
        if not arm or not patient_id:
            continue
        known = assignment.setdefault(patient_id, Assigned(arm, row.line))
        if known.arm != arm:
            table.fault(row.line, ARM, f"'{arm}', but line {known.line} puts patient {patient_id} in '{known.arm}'")
    _refuse_lookalikes(table, assignment.values())
    return assignment


def read_arms(path: Path, stated: Mapping[str, Assigned], manifest_name: str) -> tuple[dict[str, Assigned], Table]:
    """Read `patient_id,arm`; a patient whom the manifest puts in another arm is recorded as a fault of the table.

    Patients without a scan may be listed, and columns besides the two are not read.
    """
    table = read_table(path, (PATIENT, ARM), (PATIENT, ARM), ManifestError)
    for row in table.rows:
        _check_patient(table, row)
    assignment = read_assignment(table)
    for patient_id, (arm, line) in assignment.items():
        other = stated.get(patient_id)
        if other is not None and other.arm != arm:
            where = f"{manifest_name}:{other.line}"
            table.fault(line, ARM, f"'{arm}', but {where} puts patient {patient_id} in '{other.arm}'")
    return assignment, table


def as_arms(*assignments: Mapping[str, Assigned]) -> Arms:
    """The arms of all patients of the given assignments, patients in alphabetical order."""
    merged = {patient_id: known.arm for assignment in assignments for patient_id, known in assignment.items()}
    return Arms(dict(sorted(merged.items())))


def _check_patient(table: Table, row: Row) -> None:
    problem = name_problem(row.cell(PATIENT)) if PATIENT in table.columns else None
    if problem is not None:
        table.fault(row.line, PATIENT, problem)


def _refuse_lookalikes(table: Table, assigned: Iterable[Assigned]) -> None:
    spellings: dict[str, Assigned] = {}
    reported: set[str] = set()
    for arm, line in assigned:
        first = spellings.setdefault(arm.casefold(), Assigned(arm, line))
        if first.arm != arm and arm not in reported:
            reported.add(arm)
            table.fault(
                line, ARM, f"'{arm}' differs from '{first.arm}' in line {first.line} in capitals only; write one"
            )
