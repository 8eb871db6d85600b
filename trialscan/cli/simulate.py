"""`trialscan simulate DESIGN --out DIR [--power]`."""

import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trialscan.phantom import load_design, simulate_trial
from trialscan.pipeline.power import PowerResult, simulate_power


@click.command()
@click.argument("design", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new folder.")
@click.option("--power", is_flag=True, help="Power, type I error and coverage of the analysis, without scans.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Worker processes.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def simulate(design: Path, out: Path, power: bool, jobs: int, as_json: bool) -> None:
    """Simulate a trial of chest CT scans with known truth from the YAML file DESIGN.

    With --power DESIGN is a statistical design (sample_manifests/power_mmrm.yaml is one): its trials are drawn and
    analysed many times. Writes power.csv, trials.csv and power.json.
    """
    if power:
        with _bar() as bar:
            task = bar.add_task("simulating trials", total=None)
            result = simulate_power(
                design, out, jobs, lambda done, total: bar.update(task, completed=done, total=total)
            )
        _say_power(result, out, as_json=as_json)
        return
    trial = load_design(design)
    with _bar() as bar:
        task = bar.add_task("simulating patients", total=len(trial.patient_ids))
        manifest = simulate_trial(trial, out, jobs, lambda done, _: bar.update(task, completed=done))
    if as_json:
        click.echo(json.dumps({"manifest": str(manifest), "patients": len(trial.patient_ids)}))
    else:
        click.echo(f"{len(trial.patient_ids)} patients: {manifest}, arms.csv and truth/ beside it")


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _say_power(result: PowerResult, out: Path, *, as_json: bool) -> None:
    """Every figure with its Monte-Carlo standard error."""
    if as_json:
        click.echo(json.dumps({"folder": str(out), "results": result.summary.to_dict("records")}))
        return
    for row in result.summary.to_dict("records"):
        error, note = row["monte_carlo_se"], row["note"]
        figure = f"{row['value']:.5g}" + (f" ± {error:.2g}" if error else "") + (f"  ({note})" if note else "")
        click.echo(f"{row['scenario']:7} {row['arm']} against {row['comparator']}  {row['statistic']:26} {figure}")
    click.echo(f"± is one Monte-Carlo standard error; power.csv, trials.csv and power.json are in {out}")
