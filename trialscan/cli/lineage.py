"""`trialscan lineage`: how a row came to be, or what came of a file."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from trialscan import api
from trialscan.cli import options
from trialscan.errors import VerificationError

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("run", required=False, type=_FOLDER)
@click.option("--patient", help="The row's patient.")
@click.option("--visit", help="The row's visit.")
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="What came of it?")
@click.option(
    "--among",
    multiple=True,
    type=_FOLDER,
    help="Folder to look through for models, experiments and runs; may be given again.  [default: the current folder]",
)
@options.store
@options.as_json
def lineage(
    run: Path | None,
    patient: str | None,
    visit: str | None,
    file: Path | None,
    among: tuple[Path, ...],
    store: Path | None,
    as_json: bool,
) -> None:
    """A row of RUN's scans.csv back to mask, model, experiment, snapshot and files; or a file to all that it touched.

    Exit code 5 where a link is missing or a file is no longer what it was.
    """
    from trialscan.training.lineage import as_text  # noqa: PLC0415, after --help

    node = api.lineage(run, patient, visit, file=file, among=among or (Path(),), store=store)
    click.echo(json.dumps(asdict(node), indent=2, ensure_ascii=False) if as_json else as_text(node))
    if not node.unbroken:
        raise VerificationError(node.name, "the lineage has a missing link", "every link found", "Give more --among.")
