"""`trialscan train CONFIG --out DIR`."""

import json
import os
from pathlib import Path

import click
import torch

from trialscan.cli import options
from trialscan.cli.progress import Steps
from trialscan.training.datasets.store import DatasetStore
from trialscan.training.experiments import TrainOutcome, TrainRequest, train_experiment
from trialscan.training.experiments.curves import CurveRow


class _Follow(Steps):
    """The bar of an experiment's epochs, and a line for what a person should know."""

    def __init__(self) -> None:
        super().__init__("checking")
        self._done = self._total = 0

    def plan(self, fits: int, epochs: int) -> None:
        """So much is to come."""
        self._total = epochs
        self.say(f"{fits} fits")

    def epoch(self, fit: str, row: CurveRow) -> None:
        """An epoch has ended."""
        self._done += 1
        dice = "" if row.validation_dice is None else f" Dice {row.validation_dice:.3f}"
        self.name(f"{fit} epoch {row.epoch} loss {row.loss:.3f}{dice}")
        self.reach(self._done, self._total)

    def say(self, message: str) -> None:
        """A line above the bar."""
        self.print(message)


@click.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The experiment's folder.")
@options.store
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="CPU threads; the same number gives the same weights.",
)
@click.option("--masks", is_flag=True, help="Keep the predicted masks of the cases that were not learnt.")
@click.option("--dry-run", is_flag=True, help="Check everything, take one step of each variant, and train nothing.")
@options.as_json
def train(
    config: Path, out: Path, store: Path | None, device: str, threads: int, masks: bool, dry_run: bool, as_json: bool
) -> None:
    """Train and cross-validate as CONFIG says, on a snapshot of annotated scans.

    An experiment that was interrupted goes on where it was, and ends as if it had not been.
    """
    torch.set_num_threads(threads)
    request = TrainRequest(config, out, device=device, masks=masks, dry_run=dry_run)
    with _Follow() as follow:
        outcome = train_experiment(request, DatasetStore(store), follow)
    click.echo(json.dumps(_facts(outcome)) if as_json else _text(outcome))


def _facts(outcome: TrainOutcome) -> dict[str, object]:
    summary = json.loads(outcome.summary.to_json(orient="records"))
    return {"folder": str(outcome.folder), "fits": outcome.fits, "summary": summary}


def _text(outcome: TrainOutcome) -> str:
    if outcome.summary.empty:
        return f"{outcome.fits} fits to run; nothing was trained"
    shown = outcome.summary.to_string(index=False, na_rep="–", float_format=lambda value: f"{value:.3f}")
    return f"{shown}\n{outcome.fits} fits in {outcome.folder}"
