"""A run folder as the blinded reports see it: scans, lesions, protocol and versions, never an arm."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from trialscan.errors import ReportError
from trialscan.study import Protocol, load_protocol

OK, FAILED, MISSING = "ok", "failed", "missing"


@dataclass(frozen=True)
class VisitRow:
    """One row of scans.csv: one visit of one patient, measured, failed or missing. None where the cell is empty."""

    patient_id: str
    visit: str
    study_day: int | None
    is_baseline: bool
    in_window: bool | None
    status: str
    flags: tuple[str, ...]
    numbers: Mapping[str, float | None]
    texts: Mapping[str, str]

    def number(self, column: str) -> float | None:
        """The number in a column; None where the table has no such cell or it is empty."""
        return self.numbers.get(column)

    def text(self, column: str) -> str:
        """The text in a column, empty where there is none."""
        return self.texts.get(column, "")


@dataclass(frozen=True)
class LesionCell:
    """One row of lesions.csv: one lesion at one visit."""

    patient_id: str
    visit: str
    lesion_id: str
    class_name: str
    volume_ml: float | None
    organ_percent: float | None
    longest_diameter_mm: float | None
    change: str
    change_percent: float | None
    predecessors: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class RunFolder:
    """A finished run, read once.

    Raises
    ------
    ReportError
        A table, the protocol or run.json is absent or cannot be read; names the file.
    """

    path: Path

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol with every default written out."""
        return load_protocol(require_file(self.path / "protocol.lock.yaml"))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """run.json: what ran, by digests and versions."""
        return read_json(self.path / "run.json")

    @property
    def version(self) -> str:
        """The version of trialscan that made the run."""
        return str(self.facts.get("software", {}).get("trialscan", "version not recorded"))

    @property
    def protocol_sha256(self) -> str:
        """Digest of the protocol that the run followed, empty where run.json has none."""
        return str(self.facts.get("protocol_sha256", ""))

    @cached_property
    def visits(self) -> tuple[VisitRow, ...]:
        """Every row of scans.csv, in the table's order."""
        table = read_table(self.path / "tables" / "scans.csv", SCAN_COLUMNS)
        return tuple(_visit_row(row) for row in records(table))

    @cached_property
    def lesions(self) -> tuple[LesionCell, ...]:
        """Every row of lesions.csv, in the table's order."""
        table = read_table(self.path / "tables" / "lesions.csv", LESION_COLUMNS)
        return tuple(_lesion_cell(row) for row in records(table))

    @cached_property
    def burden_error(self) -> dict[tuple[str, str], tuple[float | None, float | None]]:
        """By patient and visit, the percent changes of an unchanged burden that 95 % of measurements stay within."""
        path = self.path / "tables" / "trajectories.csv"
        rows = [row for row in records(read_table(path, ERROR_COLUMNS)) if row["course"] == "burden"]
        lower, upper = ERROR_COLUMNS[-2:]
        return {
            (row["patient_id"], row["visit"]): (to_number(row[lower], str(path)), to_number(row[upper], str(path)))
            for row in rows
        }

    @cached_property
    def patient_ids(self) -> tuple[str, ...]:
        """Every patient of scans.csv, sorted."""
        return tuple(sorted({row.patient_id for row in self.visits}))

    @property
    def classes(self) -> tuple[str, ...]:
        """Lesion classes in the order of their labels 1…n."""
        return tuple(self.protocol.segmentation.class_names.values())

    def visits_of(self, patient_id: str) -> tuple[VisitRow, ...]:
        """One patient's visits by (planned) day, visits without one last; raises ReportError for an unknown patient."""
        rows = [row for row in self.visits if row.patient_id == patient_id]
        if not rows:
            where = f"{self.path / 'tables' / 'scans.csv'}"
            raise ReportError(where, f"no patient {patient_id!r}", "one of the patients of this run")
        return tuple(sorted(rows, key=self._place))

    def day_of(self, row: VisitRow) -> int | None:
        """The day a visit took place; for a missing one the planned day, counted from the patient's baseline."""
        if row.study_day is not None:
            return row.study_day
        planned = {entry.visit: entry.day for entry in self.protocol.visits.schedule}.get(row.visit)
        return None if planned is None else planned + self._baseline_days.get(row.patient_id, 0)

    def lesions_of(self, patient_id: str) -> tuple[LesionCell, ...]:
        """One patient's lesions over all visits."""
        return tuple(cell for cell in self.lesions if cell.patient_id == patient_id)

    @cached_property
    def _baseline_days(self) -> dict[str, int]:
        return {row.patient_id: row.study_day for row in self.visits if row.is_baseline and row.study_day is not None}

    def _place(self, row: VisitRow) -> tuple[bool, int, str]:
        day = self.day_of(row)
        return day is None, day or 0, row.visit

    def change_percent(self, patient_id: str, visit: str) -> float | None:
        """Change of the whole burden from baseline, as the patient's history.json holds it."""
        path = self.path / "patients" / patient_id / "history.json"
        history = read_json(path) if path.is_file() else {}
        rows = [row for row in history.get("trajectory", []) if row.get("course") == "burden"]
        found = (row.get("change_percent") for row in rows if row.get("visit") == visit)
        value = next(found, None)
        return None if value is None else float(value)

    def visit_folder(self, row: VisitRow) -> Path:
        """Where a visit's masks, pictures and quality stand."""
        return self.path / "patients" / row.patient_id / row.visit

    def quality_of(self, row: VisitRow) -> dict[str, Any]:
        """quality.json of a visit; empty for a visit that was never measured."""
        path = self.visit_folder(row) / "quality.json"
        return read_json(path) if path.is_file() else {}


SCAN_COLUMNS = ("patient_id", "visit", "study_day", "is_baseline", "status", "flags", "burden_percent", "lesion_count")
ERROR_COLUMNS = ("patient_id", "visit", "course", "error_lower_percent", "error_upper_percent")
LESION_COLUMNS = ("patient_id", "visit", "lesion_id", "class_name", "change")
_NUMBERS = ("_ml", "_percent", "_count")


def require_file(path: Path) -> Path:
    """The path itself, or ReportError when no file stands there."""
    if not path.is_file():
        raise ReportError(str(path), "no such file", "a finished run folder", "Run `trialscan run` to its end first.")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; ReportError when it is absent or no object."""
    try:
        content = json.loads(require_file(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReportError(str(path), f"not readable as JSON ({error})", "a JSON object") from error
    if not isinstance(content, dict):
        raise ReportError(str(path), f"a JSON {type(content).__name__}", "a JSON object")
    return content


def read_table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """A CSV as text, so that "001" and "NA" stay names; ReportError when the file or a column is missing."""
    try:
        table = pd.read_csv(require_file(path), dtype=str, keep_default_na=False, encoding="utf-8")
    except (ValueError, pd.errors.ParserError) as error:
        raise ReportError(str(path), f"not readable as a table ({error})", "UTF-8 comma-separated values") from error
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        raise ReportError(str(path), f"no column {', '.join(lacking)}", "the columns of a finished run")
    return table


def records(table: pd.DataFrame) -> list[dict[str, str]]:
    """The rows of a text table as dictionaries."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def to_number(cell: str, where: str) -> float | None:
    """The number in a cell, None for an empty one; ReportError for anything else."""
    try:
        return float(cell) if cell else None
    except ValueError as error:
        raise ReportError(where, f"{cell!r}", "a number or an empty cell") from error


def to_flag(cell: str) -> bool | None:
    """True, False or None from a cell of truth values."""
    return {"true": True, "1": True, "y": True, "false": False, "0": False, "n": False}.get(cell.strip().lower())


def split_cell(cell: str) -> tuple[str, ...]:
    """The parts of a `;`-joined cell."""
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _visit_row(row: Mapping[str, str]) -> VisitRow:
    where = f"scans.csv: {row['patient_id']} {row['visit']}"
    day = to_number(row["study_day"], f"{where}: study_day")
    return VisitRow(
        patient_id=row["patient_id"],
        visit=row["visit"],
        study_day=None if day is None else int(day),
        is_baseline=bool(to_flag(row["is_baseline"])),
        in_window=to_flag(row.get("in_window", "")),
        status=row["status"],
        flags=split_cell(row["flags"]),
        numbers={name: to_number(row[name], f"{where}: {name}") for name in row if name.endswith(_NUMBERS)},
        texts={name: row[name] for name in row if not name.endswith(_NUMBERS)},
    )


def _lesion_cell(row: Mapping[str, str]) -> LesionCell:
    where = f"lesions.csv: {row['patient_id']} {row['visit']} {row['lesion_id']}"

    def number(column: str) -> float | None:
        return to_number(row.get(column, ""), f"{where}: {column}")

    return LesionCell(
        patient_id=row["patient_id"],
        visit=row["visit"],
        lesion_id=row["lesion_id"],
        class_name=row["class_name"],
        volume_ml=number("volume_ml"),
        organ_percent=number("organ_percent"),
        longest_diameter_mm=number("longest_diameter_mm"),
        change=row["change"],
        change_percent=number("change_percent"),
        predecessors=split_cell(row.get("predecessors", "")),
        note=row.get("note", ""),
    )
