"""`python -m trialscan.training data|fit|export`: how the shipped models are made."""

from pathlib import Path

import click
import torch

from trialscan.training import (
    average_weights,
    load_cases,
    load_config,
    make_cases,
    planar_patch,
    train,
    volume_patch,
    write_bundle,
)

_CONFIG = click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Make simulated cases, fit a network to them and write it as a bundle."""


@main.command()
@_CONFIG
@click.option("--data", required=True, type=_FOLDER, help="Where the cases are kept; those there already are reused.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
def data(config: Path, data: Path, jobs: int) -> None:
    """Simulate the cases of a configuration."""
    settings = load_config(config)
    first = settings.data.first_seed
    paths = make_cases(settings, data, range(first, first + settings.data.cases), jobs)
    click.echo(f"{len(paths)} cases in {data}")


@main.command()
@_CONFIG
@click.option("--data", required=True, type=_FOLDER, help="The cases that `data` made.")
@click.option("--out", required=True, type=_FOLDER, help="Checkpoint and log; a checkpoint there is resumed.")
@click.option("--start-from", type=click.Path(exists=True, path_type=Path), help="A checkpoint to take weights from.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads.")
def fit(config: Path, data: Path, out: Path, start_from: Path | None, threads: int) -> None:
    """Fit the network."""
    torch.set_num_threads(threads)
    settings = load_config(config)
    cases = load_cases(sorted(data.glob("case_*.npz")))
    sampler = planar_patch if settings.kind == "planar" else volume_patch
    weights = average_weights(start_from) if start_from else None
    click.echo(f"checkpoint: {train(settings, cases, sampler, out, start_from=weights)}")


@main.command()
@_CONFIG
@click.option("--checkpoint", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--bundle", required=True, type=_FOLDER, help="The bundle's folder.")
@click.option("--version", required=True, help="The model's version.")
def export(config: Path, checkpoint: Path, bundle: Path, version: str) -> None:
    """Write the averaged weights of a checkpoint as a bundle."""
    digest = write_bundle(load_config(config), average_weights(checkpoint), bundle, version)
    click.echo(f"weights sha256 {digest}")


if __name__ == "__main__":
    main()
