"""`trialscan run MANIFEST --protocol P --out DIR`."""

import os
from pathlib import Path

import click

from trialscan.cli import options
from trialscan.cli.progress import Progress, print_preview, print_summary
from trialscan.pipeline.run import RunRequest, preview_trial, run_trial


class Shard(click.ParamType[tuple[int, int]]):
    """`I/N`: the I-th of N equal parts."""

    name = "I/N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Two integers from text."""
        index, slash, count = str(value).partition("/")
        if not (slash and index.isdigit() and count.isdigit()):
            self.fail(f"{value!r} is not of the form 1/4", param, ctx)
        return int(index), int(count)


@click.command()
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--protocol", required=True, help="A protocol file, or the name of a shipped one.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The run folder.")
@click.option(
    "--arms", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="patient_id,arm (unblinding)."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Worker processes.",
)
@click.option("--shard", type=Shard(), help="Compute only this part of the patients, e.g. 2/8.")
@click.option("--patient", help="Compute only this patient.")
@click.option("--scheduler", help="Address of a Dask scheduler that shares these folders.")
@click.option("--dry-run", is_flag=True, help="Say what would be computed, and do nothing.")
@options.trust_bundle
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def run(
    manifest: Path,
    protocol: str,
    out: Path,
    arms: Path | None,
    device: str,
    jobs: int,
    shard: tuple[int, int] | None,
    patient: str | None,
    scheduler: str | None,
    dry_run: bool,
    trust_bundle: bool,
    as_json: bool,
) -> int:
    """Segment, align, follow, compare and report every patient of MANIFEST.

    What was computed before in the same folder is reused. A scan that fails costs its own visit; the exit code is
    then 4.
    """
    request = RunRequest(
        manifest,
        protocol,
        out,
        arms=arms,
        device=device,
        jobs=jobs,
        shard=shard,
        patient=patient,
        scheduler=scheduler,
        trust_bundle=trust_bundle,
    )
    if dry_run:
        print_preview(preview_trial(request), as_json=as_json)
        return 0
    with Progress() as progress:
        summary = run_trial(request, on_plan=progress.start, watch=progress.advance)
    print_summary(summary, as_json=as_json)
    return summary.exit_code
