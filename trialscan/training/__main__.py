"""`python -m trialscan.training data|fit|export|outliers|assess`: how the shipped models are made."""

from collections.abc import Callable
from pathlib import Path

import click
import torch

from trialscan.imaging import Volume
from trialscan.phantom import simulate_radiograph
from trialscan.segmentation import BundleSegmenter, load_bundle
from trialscan.segmentation.outliers import write_reference
from trialscan.training.assessment import assess_planar, assess_volume, fresh_scan
from trialscan.training.augment_planar import planar_patch
from trialscan.training.augment_slice import slice_patch
from trialscan.training.augment_volume import volume_patch
from trialscan.training.calibration import lesion_shift, shift_logits
from trialscan.training.config import TrainingConfig, load_config
from trialscan.training.export import write_bundle
from trialscan.training.loop import Sampler, mean_weights, train
from trialscan.training.outliers import feature_reference
from trialscan.training.phantoms import load_cases, make_cases
from trialscan.training.slice_assessment import assess_slices, by_extent, by_noise, fresh_slice

_CONFIG = click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_CALIBRATION_SCANS = 40
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
@click.option(
    "--start-from",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A checkpoint or a bundle to take weights from; of several, their mean.",
)
@click.option("--stop-after", type=click.IntRange(min=1), help="End at this step, before the schedule does.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads.")
def fit(
    config: Path, *, data: Path, out: Path, start_from: tuple[Path, ...], stop_after: int | None, threads: int
) -> None:
    """Fit the network."""
    torch.set_num_threads(threads)
    settings = load_config(config)
    cases = load_cases(sorted(data.glob("case_*.npz")))
    sampler = _sampler(settings)
    weights = mean_weights(start_from) if start_from else None
    click.echo(f"checkpoint: {train(settings, cases, sampler, out, start_from=weights, stop_after=stop_after)}")


def _sampler(settings: TrainingConfig) -> Sampler:
    if settings.kind == "volume":
        return volume_patch
    return slice_patch if settings.planar_source == "ct_slice" else planar_patch


@main.command()
@_CONFIG
@click.option(
    "--checkpoint",
    "checkpoints",
    required=True,
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of several, the mean of their weights is written.",
)
@click.option("--bundle", required=True, type=_FOLDER, help="The bundle's folder.")
@click.option("--version", required=True, help="The model's version.")
@click.option("--calibration-seed", type=int, help="First of 40 seeds to calibrate lesion volume on.")
def export(
    config: Path,
    checkpoints: tuple[Path, ...],
    bundle: Path,
    version: str,
    calibration_seed: int | None,
) -> None:
    """Write the averaged weights of one or several runs as a bundle."""
    settings = load_config(config)
    weights = mean_weights(checkpoints)
    digest = write_bundle(settings, weights, bundle, version)
    if calibration_seed is not None:
        segmenter = load_bundle(bundle)
        shift = lesion_shift(segmenter, range(calibration_seed, calibration_seed + _CALIBRATION_SCANS))
        lesions = [label for label in settings.labels if label >= 2]
        digest = write_bundle(settings, shift_logits(weights, segmenter.network, lesions, shift), bundle, version)
        click.echo(f"lesion logits shifted by {shift:+.2f}")
    click.echo(f"weights sha256 {digest}")


@main.command()
@click.argument("bundle", type=_FOLDER)
@click.option("--first-seed", type=int, required=True, help="Seeds like those trained on, not those assessed with.")
@click.option("--count", type=click.IntRange(min=10), default=200, show_default=True)
def outliers(bundle: Path, first_seed: int, count: int) -> None:
    """Add to a bundle what its network makes of simulated scans, so that scans unlike them are recognised."""
    segmenter = load_bundle(bundle)
    scan = _simulator(segmenter, bundle)
    reference = feature_reference(segmenter, map(scan, range(first_seed, first_seed + count)))
    digest = write_reference(reference, bundle)
    click.echo(f"{reference.layer}: {reference.mean.size} channels of {count} scans; features sha256 {digest}")


@main.command()
@click.argument("bundle", type=_FOLDER)
@click.option("--first-seed", type=int, required=True, help="Seeds must not be among those trained on.")
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--out", required=True, type=_FOLDER, help="Where the tables are written.")
def assess(bundle: Path, first_seed: int, count: int, out: Path) -> None:
    """Segment simulated scans of fresh seeds and write the figures as tables."""
    segmenter = load_bundle(bundle)
    out.mkdir(parents=True, exist_ok=True)
    seeds = range(first_seed, first_seed + count)
    settings = _slices(bundle)
    if settings is not None:
        scans = assess_slices(segmenter, settings.data, seeds)
        click.echo(by_extent(scans).to_string())
        click.echo(by_noise(scans).to_string())
    elif segmenter.spec.kind == "planar":
        scans = assess_planar(segmenter, seeds)
    else:
        result = assess_volume(segmenter, seeds)
        scans = result.scans
        result.lesions.to_csv(out / "lesions.csv", index=False)
        click.echo(result.by_size().to_string())
        click.echo(result.by_noise().to_string())
    scans.to_csv(out / "scans.csv", index=False)
    click.echo(scans.to_string())


def _slices(bundle: Path) -> TrainingConfig | None:
    """The configuration beside a model of CT slices; None for other models, and for a bundle that lacks it."""
    path = bundle / "training.yaml"
    settings = load_config(path) if path.is_file() else None
    return settings if settings is not None and settings.planar_source == "ct_slice" else None


def _simulator(segmenter: BundleSegmenter, bundle: Path) -> Callable[[int], Volume]:
    """What makes a scan of a seed, of the kind that the model takes."""
    settings = _slices(bundle)
    if settings is not None:
        return lambda seed: fresh_slice(settings.data, seed)[0]
    if segmenter.spec.kind == "planar":
        return lambda seed: simulate_radiograph(seed).image
    return lambda seed: fresh_scan(seed)[0].image


if __name__ == "__main__":
    main()
