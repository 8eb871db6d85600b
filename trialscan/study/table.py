"""A CSV table with the line of every row, and the faults of its form."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from trialscan.errors import InputError
from trialscan.study.faults import RowFault
from trialscan.study.text_file import read_text


@dataclass(frozen=True)
class Row:
    """The cells of a row by column, without surrounding blanks, and the line of the file on which the row starts."""

    line: int
    cells: Mapping[str, str]

    def cell(self, column: str) -> str:
        """The cell in the column; empty where the table has no such column."""
        return self.cells.get(column, "")


@dataclass
class Table:
    """Columns in the order of the file, rows that fit them, and the faults found so far."""

    name: str
    columns: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)

    def fault(self, line: int, column: str, message: str) -> None:
        """Record a fault and go on."""
        self.faults.append(RowFault(line, column, message))


def read_table(path: Path, known: Sequence[str], required: Sequence[str], error: type[InputError]) -> Table:
    """Read a CSV file in UTF-8; raises `error` only where it cannot be read as text.

    Faults recorded: no rows, missing or repeated columns, names that differ from a known column only in capitals, rows
    of another length than the header, and quotes that do not close. Rows without any content are passed over.
    """
    table = Table(path.name)
    reader = csv.reader(io.StringIO(read_text(path, error), newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                _take(table, line, stripped, known, required)
            line = reader.line_num + 1
    except csv.Error as problem:
        table.fault(line, "", f"not a CSV row: {problem}")
    if not table.columns:
        table.fault(1, "", f"the file is empty; expected a header with the columns {', '.join(required)}")
    elif not table.rows and not table.faults:
        table.fault(1, "", "there is a header but no row")
    return table


def _take(table: Table, line: int, cells: list[str], known: Sequence[str], required: Sequence[str]) -> None:
    if not table.columns:
        table.columns = tuple(cells)
        _check_header(table, line, known, required)
    elif len(cells) != len(table.columns):
        table.fault(line, "", f"found {len(cells)} cells; expected {len(table.columns)} as in the header")
    else:
        table.rows.append(Row(line, dict(zip(table.columns, cells, strict=True))))


def _check_header(table: Table, line: int, known: Sequence[str], required: Sequence[str]) -> None:
    columns = table.columns
    for number in (index for index, name in enumerate(columns, start=1) if not name):
        table.fault(line, "", f"column {number} has no name; name it or remove it")
    for name, times in Counter(column.lower() for column in columns if column).items():
        if times > 1:
            table.fault(line, name, f"the column is there {times} times (capitals aside); keep one")
    for column in columns:
        if column.lower() in known and column not in known:
            table.fault(line, column, f"write the column's name as '{column.lower()}'")
    for name in required:
        if name not in {column.lower() for column in columns}:
            table.fault(line, name, f"the column is missing{_hint(name, columns)}")


def _hint(name: str, columns: Sequence[str]) -> str:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        return "; cells are to be separated by commas"
    nearest = get_close_matches(name, columns, n=1)
    return f"; did you mean it by '{nearest[0]}'?" if nearest else ""
