"""`trialscan dataset snapshot|clone|list|diff|check|revise`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from trialscan.cli import options
from trialscan.cli.progress import Steps
from trialscan.training.datasets import (
    DatasetStore,
    Difference,
    Kept,
    Snapshot,
    clone_snapshot,
    compare,
    describe_folder,
    lineage,
    revise_snapshot,
    take_snapshot,
)

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_SHORT = 12
_WAYS = {
    Kept.REFLINK: "share their blocks (reflink)",
    Kept.COPY: "copied",
    Kept.HARDLINK: "hard links",
    Kept.POINTER: "pointers to where they lie",
    Kept.PRESENT: "in the store already",
}


@click.group()
def dataset() -> None:
    """Immutable, content-addressed versions of annotated scans, for training that can be traced."""


@dataset.command()
@click.argument("folder", type=_FOLDER)
@click.option(
    "--description", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Another dataset.yaml."
)
@click.option("--name", help="Its name; without it the description's, else the folder's.")
@click.option("--licence", help="Under which licence the data are.")
@click.option("--source", help="Where the data come from.")
@click.option("--protocol", help="Without a dataset.yaml: the protocol that names what a manifest's masks hold.")
@options.store
@options.as_json
def snapshot(
    folder: Path,
    description: Path | None,
    name: str | None,
    licence: str | None,
    source: str | None,
    protocol: str | None,
    store: Path | None,
    as_json: bool,
) -> None:
    """Record the annotated scans of FOLDER as its dataset.yaml says, or its manifest.csv or nnU-Net dataset.json.

    Every file is hashed, every image and mask opened and checked; all faults are told at once and nothing is recorded
    while there is one.
    """
    described = describe_folder(folder, description, name=name, licence=licence, source=source, protocol=protocol)
    with Steps("checking") as steps:
        taken = take_snapshot(described, folder, DatasetStore(store), steps.reach)
    facts = _facts(taken.snapshot) | {
        "unchanged": taken.unchanged,
        "kept": {kind.value: count for kind, count in taken.kept.items()},
        "unannotated": list(taken.unannotated),
        "empty_masks": list(taken.empty_masks),
        "seconds": {step: round(seconds, 3) for step, seconds in taken.seconds.items()},
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(("unchanged: " if taken.unchanged else "") + _line(taken.snapshot))
    click.echo("files: " + _ways(taken.kept))
    for words, cases in (("left out, without mask", taken.unannotated), ("nothing drawn", taken.empty_masks)):
        if cases:
            click.echo(f"{words}: {len(cases)} ({', '.join(cases[:5])}{', …' if len(cases) > 5 else ''})")


@dataset.command()
@click.argument("name")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--link-images", is_flag=True, help="Where no reflink can be made: images as read-only hard links.")
@options.store
@options.as_json
def clone(name: str, out: Path, link_images: bool, store: Path | None, as_json: bool) -> None:
    """Lay the files of the snapshot NAME out in OUT, to be edited; the store's own bytes stay as they are."""
    kept = DatasetStore(store)
    found = kept.find(name)
    made = clone_snapshot(kept, found, out, link_images=link_images)
    if as_json:
        ways = {kind.value: count for kind, count in made.ways.items()}
        body = {"digest": found.digest, "folder": str(out), "ways": ways, "bytes_copied": made.bytes_copied}
        click.echo(json.dumps(body | {"seconds": round(made.seconds, 3)}, indent=2))
        return
    click.echo(f"{found.name} {found.digest[:_SHORT]} in {out} ({made.seconds:.2f} s): {_ways(made.ways)}")
    if Kept.COPY in made.ways:
        click.echo(f"{made.bytes_copied / 1e6:.0f} MB copied: the file system makes no reflinks")
    if Kept.HARDLINK in made.ways:
        click.echo("images are read-only here, in the store and where they came from; masks may be edited")
    else:
        click.echo("every file may be edited; the store's bytes stay as they are")


@dataset.command(name="list")
@options.store
@options.as_json
def list_snapshots(store: Path | None, as_json: bool) -> None:
    """All snapshots, each below the one that it follows."""
    kept = DatasetStore(store)
    rows = []
    for depth, found in lineage(kept.snapshots()):
        record = kept.record(found)
        latest = kept.latest(found.name)
        current = latest is not None and latest.digest == found.digest
        told = {"taken_at": record.taken_at, "reader": record.reader, "reason": record.reason}
        rows.append(_facts(found) | told | {"latest": current})
        if not as_json:
            who = "; ".join(text for text in (record.reader, record.reason) if text)
            mark = " (latest)" if current else ""
            click.echo(f"{'   ' * depth}{_line(found)}; {record.taken_at}{'; ' + who if who else ''}{mark}")
    if as_json:
        click.echo(json.dumps({"snapshots": rows}, indent=2))


@dataset.command()
@click.argument("before")
@click.argument("after")
@options.store
@options.as_json
def diff(before: str, after: str, store: Path | None, as_json: bool) -> None:
    """What the snapshot AFTER has other than BEFORE: files, cases, labels, who is held out."""
    kept = DatasetStore(store)
    found = compare(kept.find(before), kept.find(after))
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    for line in _differences(found) or ["no difference"]:
        click.echo(line)


@dataset.command()
@click.argument("name")
@options.store
@options.as_json
def check(name: str, store: Path | None, as_json: bool) -> None:
    """Read every file of the snapshot NAME again and tell each that is missing or changed (exit code 3)."""
    kept = DatasetStore(store)
    found = kept.find(name)
    kept.check(found)
    click.echo(json.dumps(_facts(found), indent=2) if as_json else f"{_line(found)}: every file is as recorded")


@dataset.command()
@click.argument("name")
@click.option("--masks", required=True, type=click.Path(exists=True, path_type=Path), help="Folder, table or run.")
@click.option("--reader", help="Who edited the masks.")
@click.option("--reason", help="Why.")
@options.store
@options.as_json
def revise(name: str, masks: Path, reader: str | None, reason: str | None, store: Path | None, as_json: bool) -> None:
    """Make the masks that readers edited a new snapshot, child of NAME.

    Masks are taken from an edited clone (same paths), a folder of files named by case, a table (case_id or patient_id
    and visit; mask; replaces), or a finished run whose patients/<id>/<visit>/lesions.nii.gz were edited.
    """
    kept = DatasetStore(store)
    revision = revise_snapshot(kept, kept.find(name), masks, reader=reader, reason=reason)
    changed = dict(revision.changed)
    if as_json:
        told = {"changed": changed, "unchanged_masks": list(revision.unchanged), "reader": reader, "reason": reason}
        click.echo(json.dumps(_facts(revision.snapshot) | told, indent=2))
        return
    for path, voxels in changed.items():
        click.echo(f"changed: {path}: {voxels} voxels")
    for path in revision.unchanged:
        click.echo(f"unchanged: {path}")
    click.echo(_line(revision.snapshot) if changed else "no mask differs: no new snapshot")


def _facts(found: Snapshot) -> dict[str, Any]:
    return {
        "name": found.name,
        "digest": found.digest,
        "parent": found.parent,
        "licence": found.licence,
        "source": found.source,
        "labels": {str(value): name for value, name in found.labels.items()},
        "cases": len(found.cases),
        "patients": len({case.patient_id for case in found.cases}),
        "groups": len({case.group for case in found.cases}),
        "held_out": list(found.held_out),
        "files": len(found.files),
        "bytes": sum(file.size for file in found.files),
    }


def _line(found: Snapshot) -> str:
    facts = _facts(found)
    held = f", {len(found.held_out)} groups held out" if found.held_out else ""
    return (
        f"{found.name} {found.digest[:_SHORT]}: {facts['cases']} cases of {facts['patients']} patients{held}, "
        f"{facts['files']} files, {facts['bytes'] / 1e6:.1f} MB"
    )


def _ways(counts: Any) -> str:  # noqa: ANN401
    return ", ".join(f"{count} {_WAYS[kind]}" for kind, count in counts.items())


def _differences(found: Difference) -> list[str]:
    lists = {
        "case added": found.added_cases,
        "case removed": found.removed_cases,
        "case changed": found.changed_cases,
        "file added": found.added_files,
        "file removed": found.removed_files,
        "file changed": found.changed_files,
        "now held out": found.newly_held_out,
        "no longer held out": found.no_longer_held_out,
    }
    lines = [f"{words}: {name}" for words, names in lists.items() for name in names]
    lines += [f"label {value}: {old} → {new}" for value, (old, new) in found.labels.items()]
    return lines + [f"{name}: {old} → {new}" for name, (old, new) in found.facts.items()]
