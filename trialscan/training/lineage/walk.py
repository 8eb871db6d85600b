"""The two walks: from a row of a run down to the files it rests on, and from a file up to the rows that it touched."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trialscan.audit import digest_file, digest_source
from trialscan.errors import UsageError
from trialscan.training.datasets import Snapshot
from trialscan.training.experiments.record import LOCK
from trialscan.training.lineage.archive import Archive, Model, Run
from trialscan.training.lineage.node import Node
from trialscan.training.promotion.fits import read_snapshot_digest

_MASKS = {"lesion_sha256": "lesions.nii.gz", "organ_sha256": "organ.nii.gz"}


def origin_of(run: Run, patient: str, visit: str, archive: Archive) -> Node:
    """What a row of a run's `tables/scans.csv` rests on.

    Every file that is still there is read again: one whose digest is no longer that of the table is `missing`. Raises
    UsageError where the run has no such row.
    """
    found = run.scans[(run.scans["patient_id"] == patient) & (run.scans["visit"] == visit)]
    if found.empty:
        known = ", ".join(f"{p}/{v}" for p, v in zip(run.scans["patient_id"], run.scans["visit"], strict=True))
        raise UsageError(f"{run.folder.name}/tables/scans.csv", f"no row {patient}/{visit}", f"one of {known}")
    row: dict[str, str] = {str(name): str(value) for name, value in found.iloc[0].items()}
    below = [Node("scan", f"{patient}/{visit}", row["image_sha256"] or None, "as the manifest named it")]
    below += [_mask(run, row, column, archive) for column in _MASKS if row.get(column)]
    note = f"burden {row['burden_ml']} ml, {row['status']}" if row.get("burden_ml") else row["status"]
    return Node("row", f"{run.folder.name}/{patient}/{visit}", None, note, tuple(below))


def _mask(run: Run, row: Mapping[str, str], column: str, archive: Archive) -> Node:
    name, digest = f"{row['patient_id']}/{row['visit']}/{_MASKS[column]}", row[column]
    file = run.folder / "patients" / name
    if not file.is_file():
        return Node("missing", name, digest, "the mask is no longer in the run")
    if (now := digest_file(file)) != digest:
        return Node("missing", name, digest, f"the mask in the run is another one, {now[:12]}")
    source = row[column.replace("_sha256", "_source")]
    if source != "model":
        return Node("mask", name, digest, f"drawn by: {source}")
    return Node("mask", name, digest, "drawn by the model", (_model(row["model_sha256"], row["model"], archive),))


def _model(digest: str, name: str, archive: Archive) -> Node:
    model = archive.model(digest)
    if model is None:
        return Node("missing", f"model {name}", digest, "in none of the folders given")
    if model.lineage is None:
        return Node("model", model.name, digest, f"{model.facts.task}; made before or outside trialscan train")
    return Node("model", model.name, digest, _promoted(model.lineage), tuple(_below_model(model.lineage, archive)))


def _promoted(lineage: Mapping[str, Any]) -> str:
    act = lineage["promoted"]
    reason = f" because: {act['reason']}" if act["reason"] else ""
    return f"promoted {act['at']} by {act['by']}{reason}"


def _below_model(lineage: Mapping[str, Any], archive: Archive) -> Iterator[Node]:
    made, wanted = lineage["experiment"], lineage["snapshot"]
    snapshot = archive.snapshot(wanted["sha256"])
    below = (
        Node("missing", f"snapshot {wanted['name']}", wanted["sha256"], "not in the store")
        if snapshot is None
        else _snapshot(snapshot, archive)
    )
    if made["lock_sha256"] in archive.experiments:
        yield Node("experiment", made["fit"], made["lock_sha256"], "", (below,))
    else:
        note = "its folder is in none of those given; what it was stands in the bundle's docs"
        yield Node("missing", f"experiment {made['fit']}", made["lock_sha256"], note, (below,))
    start = lineage["start"]
    if (earlier := archive.model(start["sha256"])) is not None:
        yield _model(earlier.sha256, earlier.name, archive)
    else:
        yield Node("model", start["name"], start["sha256"], "what the training started from")


def _snapshot(snapshot: Snapshot, archive: Archive) -> Node:
    files = [Node("file", file.path, file.sha256) for file in snapshot.files]
    note = f"{len(snapshot.cases)} cases, {snapshot.licence}, {snapshot.source}"
    parent = archive.snapshot(snapshot.parent) if snapshot.parent else None
    if parent is not None:
        files.append(Node("snapshot", parent.name, parent.digest, "what it follows"))
    elif snapshot.parent:
        files.append(Node("missing", f"snapshot before {snapshot.name}", snapshot.parent, "not in the store"))
    return Node("snapshot", snapshot.name, snapshot.digest, note, tuple(files))


def came_of(path: Path, archive: Archive) -> Node:
    """Everything that a file touched: rows measured on it, and snapshots, experiments, models and rows made with it.

    A file of a DICOM folder stands for the whole folder too.
    """
    digest = digest_file(path)
    scans = {digest}
    if len(siblings := [item for item in path.parent.iterdir() if item.is_file()]) > 1:
        scans.add(digest_source(siblings))
    rows = [node for run in archive.runs for node in _rows_on(run, scans)]
    snapshots = [
        Node("snapshot", snapshot.name, snapshot.digest, _as_what(snapshot, digest), tuple(_from(snapshot, archive)))
        for snapshot in archive.snapshots
        if any(file.sha256 == digest for file in snapshot.files)
    ]
    found = (*rows, *snapshots)
    return Node("file", path.name, digest, "" if found else "touched nothing in the folders given", found)


def _rows_on(run: Run, digests: set[str]) -> Iterator[Node]:
    columns = {"image_sha256": "its scan", "lesion_sha256": "its lesion mask", "organ_sha256": "its organ mask"}
    for row in run.scans.to_dict("records"):
        for column, what in columns.items():
            if row.get(column) in digests:
                yield Node("row", f"{run.folder.name}/{row['patient_id']}/{row['visit']}", None, what)


def _as_what(snapshot: Snapshot, digest: str) -> str:
    """Of which cases the file is part."""
    paths = {file.path for file in snapshot.files if file.sha256 == digest}
    cases = [
        case.case_id + (" (held out)" if case.group in snapshot.held_out else "")
        for case in snapshot.cases
        if any(
            path == part or path.startswith(f"{part}/")
            for path in paths
            for part in (*case.images, *(mask.path for mask in case.masks))
        )
    ]
    return f"case {', '.join(cases)}" if cases else "of no case"


def _from(snapshot: Snapshot, archive: Archive) -> Iterator[Node]:
    """Experiments on a snapshot with the models promoted from them; models whose experiment is gone stand alone."""
    promoted = [(model, model.lineage) for model in archive.models if model.lineage]
    models = [(model, made) for model, made in promoted if made["snapshot"]["sha256"] == snapshot.digest]
    for lock, folder in sorted(archive.experiments.items(), key=lambda item: item[1]):
        if read_snapshot_digest(folder / LOCK) == snapshot.digest:
            own = [model for model, made in models if made["experiment"]["lock_sha256"] == lock]
            yield Node("experiment", folder.name, lock, "", tuple(_used(model, archive) for model in own))
            models = [(model, made) for model, made in models if model not in own]
    yield from (_used(model, archive) for model, _ in models)


def _used(model: Model, archive: Archive) -> Node:
    """A model, the rows that it drew, and the models that were trained on from it."""
    rows = [
        Node("row", f"{run.folder.name}/{row['patient_id']}/{row['visit']}", None, "drawn by this model")
        for run in archive.runs
        for row in run.scans.to_dict("records")
        if row.get("model_sha256") in model.digests
    ]
    later = [
        _used(other, archive)
        for other in archive.models
        if other.lineage and other.lineage["start"]["sha256"] in model.digests and other is not model
    ]
    return Node("model", model.name, model.facts.weights_sha256, "", (*rows, *later))
