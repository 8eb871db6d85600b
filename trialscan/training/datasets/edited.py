"""Masks that readers edited, found in a clone, a folder, a table or a finished run, each with the mask it replaces."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trialscan.audit import digest_file, read_sums
from trialscan.errors import Fault, InputError
from trialscan.imaging.read import image_suffix
from trialscan.study import load_protocol
from trialscan.study.table import Row, read_table
from trialscan.training.datasets.snapshot import AnnotatedCase, CaseMask, Snapshot

_MASK_SUFFIXES = {".nii", ".nii.gz", ".nrrd", ".mha", ".png"}
_RUN_MASKS = ("lesions.nii.gz", "organ.nii.gz")


@dataclass(frozen=True)
class EditedMask:
    """A file in place of mask number `index` of a case; `names` are its values' where it has labels of its own."""

    file: Path
    case: AnnotatedCase
    index: int
    names: Mapping[int, str] | None = None

    @property
    def replaced(self) -> CaseMask:
        """The mask that it stands in for."""
        return self.case.masks[self.index]


def find_edited(snapshot: Snapshot, source: Path) -> tuple[EditedMask, ...]:
    """Edited masks in `source`.

    A table (`case_id`, or `patient_id` and `visit`; `mask`; `replaces` where a case has several masks), a finished run
    (masks that differ from its SHA256SUMS), a clone (files at the snapshot's own paths), or a folder of files named by
    their case.

    Raises
    ------
    InputError
        Every file that stands for no mask, or for more than one.
    """
    if source.is_file():
        found = list(_from_table(snapshot, source))
    elif (source / "patients").is_dir():
        found = list(_from_run(snapshot, source))
    else:
        found = list(_from_folder(snapshot, source))
    faults = [item for item in found if isinstance(item, Fault)]
    edited = [item for item in found if isinstance(item, EditedMask)]
    seen: dict[tuple[str, int], Path] = {}
    for item in edited:
        earlier = seen.setdefault((item.case.case_id, item.index), item.file)
        if earlier != item.file:
            faults.append(Fault(str(item.file), f"and {earlier} both stand for {item.replaced.path}"))
    if faults:
        raise InputError(sorted(faults))
    return tuple(sorted(edited, key=lambda item: (item.case.case_id, item.index)))


def _from_folder(snapshot: Snapshot, folder: Path) -> Iterator[EditedMask | Fault]:
    masks = {mask.path: (case, index) for case in snapshot.cases for index, mask in enumerate(case.masks)}
    digests = {file.path: file.sha256 for file in snapshot.files}
    cases = {case.case_id: case for case in snapshot.cases}
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        path = file.relative_to(folder).as_posix()
        suffix = image_suffix(file)
        if path in masks:
            yield EditedMask(file, *masks[path])
        elif path in digests:
            if digest_file(file) != digests[path]:
                yield Fault(path, "is no mask of the snapshot, and was changed; only masks are revised")
        elif suffix in _MASK_SUFFIXES:
            name = file.name[: -len(suffix)]
            yield _only_mask(file, cases[name]) if name in cases else Fault(path, f"no case is called {name!r}")


def _only_mask(file: Path, case: AnnotatedCase) -> EditedMask | Fault:
    if len(case.masks) == 1:
        return EditedMask(file, case, 0)
    paths = ", ".join(mask.path for mask in case.masks)
    return Fault(str(file), f"case {case.case_id} has several masks; give the file the path of one: {paths}")


def _from_table(snapshot: Snapshot, table_file: Path) -> Iterator[EditedMask | Fault]:
    table = read_table(table_file, ("case_id", "patient_id", "visit", "mask", "replaces"), ("mask",), InputError)
    if not {"case_id"} & set(table.columns) and not {"patient_id", "visit"} <= set(table.columns):
        table.fault(1, "case_id", "the column is missing, and so are patient_id and visit")
    yield from (Fault(f"{table.name}:{fault.line}: {fault.column}", fault.message) for fault in table.faults)
    cases = {case.case_id: case for case in snapshot.cases}
    for row in table.rows:
        name = row.cell("case_id") or f"{row.cell('patient_id')}_{row.cell('visit')}"
        where = f"{table.name}:{row.line}"
        if name not in cases:
            yield Fault(where, f"no case is called {name!r}")
        else:
            yield _from_row(where, row, cases[name], table_file.parent)


def _from_row(where: str, row: Row, case: AnnotatedCase, folder: Path) -> EditedMask | Fault:
    file = folder / row.cell("mask")
    if not file.is_file():
        return Fault(f"{where}: mask", f"{row.cell('mask')!r} does not lie beside the table")
    if not row.cell("replaces"):
        return _only_mask(file, case)
    for index, mask in enumerate(case.masks):
        if mask.path == row.cell("replaces"):
            return EditedMask(file, case, index)
    return Fault(f"{where}: replaces", f"{row.cell('replaces')!r} is no mask of case {case.case_id}")


def _from_run(snapshot: Snapshot, run: Path) -> Iterator[EditedMask | Fault]:
    """Masks of a run that are no longer as it recorded them; the rest are the model's own, or the reader's as given."""
    settings = load_protocol(run / "protocol.lock.yaml").segmentation
    names = dict(
        zip(_RUN_MASKS, (settings.class_names, dict.fromkeys(range(1, 256), settings.organ_name)), strict=True)
    )
    sums = read_sums(run)
    cases = {case.case_id: case for case in snapshot.cases}
    for file in sorted((run / "patients").glob("*/*/*.nii.gz")):
        path = file.relative_to(run).as_posix()
        if file.name not in names or sums.get(path) == digest_file(file):
            continue
        patient, visit = file.parts[-3:-1]
        case = cases.get(f"{patient}_{visit}")
        if case is None:
            yield Fault(path, f"was edited, but no case is called {patient}_{visit}")
        else:
            yield _of_class(snapshot, file, case, names[file.name])


def _of_class(snapshot: Snapshot, file: Path, case: AnnotatedCase, names: Mapping[int, str]) -> EditedMask | Fault:
    """The case's mask that speaks of the run's classes; the only one where there is just one."""
    labels = {label for label, name in snapshot.labels.items() if label and name in names.values()}
    speaking = [index for index, mask in enumerate(case.masks) if labels & set(mask.values.values())]
    if len(case.masks) == 1 or len(speaking) == 1:
        return EditedMask(file, case, speaking[0] if speaking else 0, names)
    known = ", ".join(sorted(set(names.values())))
    return Fault(str(file), f"{len(speaking)} masks of case {case.case_id} speak of {known}; expected one")
