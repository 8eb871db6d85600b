"""Cases from a CSV table whose cells name images and masks."""

import tempfile
from pathlib import Path

import fsspec

from trialscan.errors import Fault, InputError
from trialscan.study.faults import as_row_faults
from trialscan.study.table import Row, Table, read_table
from trialscan.training.datasets.description import TableSource
from trialscan.training.datasets.draft import DraftCase
from trialscan.training.datasets.objects import is_url
from trialscan.training.datasets.sources.naming import Naming


def table_cases(place: TableSource, names: Naming) -> None:
    """Add the cases of a table, and every fault of its rows by line and column."""
    table = _read(place, names)
    seen: dict[str, int] = {}
    for row in table.rows:
        case = _case(place, table, row, names)
        if case is None:
            continue
        earlier = seen.setdefault(case.case_id, row.line)
        if earlier != row.line:
            table.fault(row.line, place.case[0], f"case {case.case_id} is also in line {earlier}")
        else:
            names.draft.cases.append(case)
    names.draft.faults += as_row_faults(table.name, table.faults)


def _read(place: TableSource, names: Naming) -> Table:
    location = names.listing.files.get(place.table)
    if location is None:
        raise InputError([Fault(place.table, f"not found below {', '.join(place.roots)}")])
    columns = [*place.case, place.patient, *([place.group] if place.group else []), *place.images, *place.attributes]
    columns += [mask.column for mask in place.masks]
    if not is_url(location):
        return read_table(Path(location), (), columns, InputError)
    with tempfile.TemporaryDirectory() as folder, fsspec.open(location, "rb") as stream:
        copy = Path(folder) / Path(place.table).name
        copy.write_bytes(stream.read())
        return read_table(copy, (), columns, InputError)


def _case(place: TableSource, table: Table, row: Row, names: Naming) -> DraftCase | None:
    for column in dict.fromkeys((*place.case, place.patient, *([place.group] if place.group else []))):
        if column in table.columns and not row.cell(column):
            table.fault(row.line, column, "empty")
    case_id = names.case("_".join(row.cell(column) for column in place.case))
    if not any(row.cell(mask.column) for mask in place.masks):
        _unannotated(place, table, row, names, case_id)
        return None
    images = [_file(table, row, column, names) for column in place.images]
    masks = []
    for mask in place.masks:
        path = _file(table, row, mask.column, names)
        if path is not None:
            masks.append(names.mask(path, mask))
    patient = row.cell(place.patient)
    return DraftCase(
        f"{table.name}:{row.line}",
        case_id,
        patient,
        row.cell(place.group) if place.group else patient,
        tuple(image for image in images if image is not None),
        tuple(masks),
        {column: row.cell(column) for column in place.attributes} | dict(place.tags),
    )


def _unannotated(place: TableSource, table: Table, row: Row, names: Naming, case_id: str) -> None:
    if place.unannotated == "skip":
        names.draft.unannotated.append(case_id)
        return
    columns = ", ".join(mask.column for mask in place.masks)
    if all(mask.column in table.columns for mask in place.masks):
        table.fault(row.line, columns, "image without mask; name one, or set 'unannotated: skip'")


def _file(table: Table, row: Row, column: str, names: Naming) -> str | None:
    """Path in the snapshot of the file or folder that a cell names; None, with a fault, where there is none."""
    cell = row.cell(column)
    if column not in table.columns:
        return None
    path = cell.removeprefix("./").rstrip("/")
    found = names.take(path) if path else None
    if found is None:
        message = f"{cell!r} does not lie below the source's root" if cell else "empty; expected a file"
        table.fault(row.line, column, message)
    return found
