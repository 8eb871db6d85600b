"""`trialscan repeatability MANIFEST --protocol P --out DIR`."""

import json
import os
from pathlib import Path

import click

from trialscan.cli import options
from trialscan.cli.progress import Progress
from trialscan.pipeline.repeatability import MeasuredRepeatability, measure_repeatability
from trialscan.pipeline.run import RunRequest


@click.command()
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--protocol", required=True, help="A protocol file, or the name of a shipped one.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where results go.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Worker processes.",
)
@options.trust_bundle
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def repeatability(
    manifest: Path, protocol: str, out: Path, device: str, jobs: int, trust_bundle: bool, as_json: bool
) -> int:
    """Measurement error from repeated scans: every visit of a patient in MANIFEST shows the same, unchanged lesions.

    Writes repeatability.csv, repeatability.yaml (for a protocol), repeatability_pairs.csv and a figure. A column
    `scanner` in MANIFEST tells scans of one scanner from those of different ones.
    """
    request = RunRequest(manifest, protocol, out, device=device, jobs=jobs, trust_bundle=trust_bundle)
    with Progress() as progress:
        result = measure_repeatability(request, watch=progress.advance)
    click.echo(json.dumps(_facts(result)) if as_json else _text(result))
    return result.summary.exit_code


def _facts(result: MeasuredRepeatability) -> dict[str, object]:
    rows = [row.model_dump() for row in result.repeatability.table()]
    return {"repeatability": rows, "repeatability_common": result.repeatability.common, "status": result.summary.status}


def _text(result: MeasuredRepeatability) -> str:
    columns = ["subject", "from_ml", "max_slice_mm", "scanners", "pairs", "sd_log", "sd_log_lower", "sd_log_upper"]
    shown = result.table[[*columns, "decrease_percent", "increase_percent", "bias_percent"]]
    return shown.to_string(index=False, na_rep="any", float_format=lambda value: f"{value:.3g}")
