"""`trialscan report DIR`."""

from pathlib import Path

import click

from trialscan.pipeline.rebuild import rebuild_reports


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--patient", help="Only this patient's report.")
def report(run: Path, patient: str | None) -> None:
    """Draw the reports of a finished run again from its tables; nothing is computed."""
    for path in rebuild_reports(run, patient):
        click.echo(path.relative_to(run))
