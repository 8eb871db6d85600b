"""`trialscan track MANIFEST --protocol P --out DIR`."""

import os
from pathlib import Path

import click

from trialscan.cli import options
from trialscan.cli.progress import Progress, print_summary
from trialscan.pipeline.run import RunRequest, run_trial


@click.command()
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--protocol", required=True, help="A protocol file, or the name of a shipped one.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The run folder.")
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
def track(manifest: Path, protocol: str, out: Path, device: str, jobs: int, trust_bundle: bool, as_json: bool) -> int:
    """Lesions and their courses only: masks, alignment and tables, without comparison and reports."""
    request = RunRequest(manifest, protocol, out, device=device, jobs=jobs, reports=False, trust_bundle=trust_bundle)
    with Progress() as progress:
        summary = run_trial(request, on_plan=progress.start, watch=progress.advance)
    print_summary(summary, as_json=as_json)
    return summary.exit_code
