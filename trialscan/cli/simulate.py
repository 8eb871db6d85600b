"""`trialscan simulate DESIGN --out DIR`."""

import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from trialscan.phantom import load_design, simulate_trial


@click.command()
@click.argument("design", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new folder.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Worker processes.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def simulate(design: Path, out: Path, jobs: int, as_json: bool) -> None:
    """Simulate a trial of chest CT scans with known truth from the YAML file DESIGN."""
    trial = load_design(design)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("simulating patients", total=len(trial.patient_ids))
        manifest = simulate_trial(trial, out, jobs, lambda done, _: bar.update(task, completed=done))
    if as_json:
        click.echo(json.dumps({"manifest": str(manifest), "patients": len(trial.patient_ids)}))
    else:
        click.echo(f"{len(trial.patient_ids)} patients: {manifest}, arms.csv and truth/ beside it")
