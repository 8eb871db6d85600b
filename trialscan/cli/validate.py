"""`trialscan validate MANIFEST --protocol P`."""

import json
import os
from pathlib import Path

import click

from trialscan.pipeline.validate import validate_trial


@click.command()
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--protocol", required=True, help="A protocol file, or the name of a shipped one.")
@click.option("--arms", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="patient_id,arm.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Scans opened at once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def validate(manifest: Path, protocol: str, arms: Path | None, jobs: int, as_json: bool) -> int:
    """Find every fault in the inputs before a run: the protocol, the manifest, and each scan and mask it names."""
    result = validate_trial(manifest, protocol, arms, jobs)
    if as_json:
        click.echo(json.dumps({"patients": result.patients, "scans": result.scans, "faults": list(result.faults)}))
    else:
        for fault in result.faults:
            click.echo(fault)
        click.echo(f"{result.patients} patients, {result.scans} scans, {len(result.faults)} faults", err=True)
    return result.exit_code
