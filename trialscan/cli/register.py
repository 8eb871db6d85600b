"""`trialscan register FIXED MOVING`."""

import json
from pathlib import Path
from typing import get_args

import click

from trialscan import api
from trialscan.errors import ScanError
from trialscan.imaging import Units
from trialscan.registration import Alignment, AlignmentStatus
from trialscan.study.sections import RegistrationSettings

_METHODS = get_args(RegistrationSettings.model_fields["method"].annotation)
_ENGINES = get_args(RegistrationSettings.model_fields["engine"].annotation)
_UNITS = [unit.value for unit in Units if unit is not Units.LABEL]
_INPUT = click.Path(exists=True, path_type=Path)


def _default(field: str) -> str:
    return f"The protocol's if not given, else {RegistrationSettings.model_fields[field].default}."


@click.command()
@click.argument("fixed", type=_INPUT)
@click.argument("moving", type=_INPUT)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the results.")
@click.option("--fixed-mask", type=_INPUT, help="Organ mask of the baseline FIXED.")
@click.option("--moving-mask", type=_INPUT, help="Organ mask of the follow-up MOVING.")
@click.option("--fixed-lesions", type=_INPUT, help="Lesions of FIXED, which shall exert no force.")
@click.option("--moving-lesions", type=_INPUT, help="Lesions of MOVING, likewise.")
@click.option("--protocol", help="Whose section `registration`, limits included, and units hold; its name or a file.")
@click.option("--method", type=click.Choice(_METHODS), help=_default("method"))
@click.option("--engine", type=click.Choice(_ENGINES), help=_default("engine"))
@click.option("--spacing", type=click.FloatRange(min=0.1), help=f"Of the working grid, mm. {_default('spacing_mm')}")
@click.option(
    "--max-stretch",
    type=click.FloatRange(0, 10),
    help=f"Let a rigid alignment stretch by so much, percent. {_default('max_stretch_percent')}",
)
@click.option("--check-backwards", is_flag=True, default=None, help="Measure the error by a second fit, the other way.")
@click.option("--units", type=click.Choice(_UNITS), help="What voxels mean, the protocol's or HU if not given.")
@click.option("--points", type=_INPUT, help="CSV of baseline LPS points; points_followup.csv gets their positions.")
@click.option("--composite", is_flag=True, help="Also each direction as one ITK file, to_baseline(.inverse).tfm.")
@click.option("--device", default="auto", show_default=True, help="Of the torch engine: auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def register(
    fixed: Path,
    moving: Path,
    out: Path,
    fixed_mask: Path | None,
    moving_mask: Path | None,
    fixed_lesions: Path | None,
    moving_lesions: Path | None,
    protocol: str | None,
    method: str | None,
    engine: str | None,
    spacing: float | None,
    max_stretch: float | None,
    check_backwards: bool | None,
    units: str | None,
    points: Path | None,
    composite: bool,
    device: str,
    as_json: bool,
) -> int:
    """Align the follow-up MOVING to the baseline FIXED; exit 4 when that fails.

    With a protocol its registration holds; every option given here goes before it.
    """
    alignment = api.register(
        fixed,
        moving,
        out,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        fixed_lesions=fixed_lesions,
        moving_lesions=moving_lesions,
        protocol=protocol,
        units=units,
        points=points,
        composite=composite,
        device=device,
        method=method,
        engine=engine,
        spacing_mm=spacing,
        max_stretch_percent=max_stretch,
        check_backwards=check_backwards,
    )
    _tell(alignment, as_json)
    return ScanError.exit_code if alignment.status is AlignmentStatus.FAIL else 0


def _tell(alignment: Alignment, as_json: bool) -> None:
    if as_json:
        facts = {"status": alignment.status, "rung": alignment.rung, "engine": alignment.engine}
        click.echo(json.dumps(facts | {"notes": alignment.notes, "quality": dict(alignment.quality)}))
        return
    click.echo(f"{alignment.status}: {alignment.rung} ({alignment.engine})")
    for attempt in alignment.rungs:
        numbers = ", ".join(f"{name} {value:.3f}" for name, value in attempt.numbers.items() if value is not None)
        click.echo(
            f"  {attempt.name} ({attempt.engine}): {attempt.reason or 'kept'}" + (f"; {numbers}" if numbers else "")
        )
    for note in alignment.notes:
        click.echo(f"  {note}", err=True)
