"""`trialscan analyze TABLE --out DIR`."""

import json
from pathlib import Path
from typing import Unpack, get_args

import click
from click.core import ParameterSource

from trialscan.errors import StatisticsError, UsageError
from trialscan.pipeline.analyze import TableColumns, analyze_table
from trialscan.statistics import ArmComparison
from trialscan.statistics.imputation import STRATEGIES
from trialscan.statistics.inference import DF_METHODS
from trialscan.statistics.long_table import DAYS_PER_UNIT
from trialscan.statistics.mmrm import FALLBACK
from trialscan.statistics.mmrm.sandwich import NAMES
from trialscan.statistics.plan import Model


@click.command()
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where results go.")
@click.option("--protocol", help="A protocol file or the name of a shipped one; TABLE is then a run's analysis.csv.")
@click.option("--outcome", help="Column with the measured value.")
@click.option("--arm", help="Column with the arm.")
@click.option("--visit", help="Column with the visit.")
@click.option("--patient", help="Column with the patient.")
@click.option("--time", help="Column with the time of the visit.")
@click.option("--time-unit", type=click.Choice(list(DAYS_PER_UNIT)), default="day", show_default=True)
@click.option("--baseline", help="A visit, or a column of baseline values.  [default: the earliest visit]")
@click.option("--covariates", default="", callback=lambda *given: _names(given[-1]), help="Columns, comma between.")
@click.option("--reference", help="The arm to compare with.  [default: the first by name]")
@click.option("--transform", type=click.Choice(["none", "log1p"]), default="none", show_default=True)
@click.option("--alpha", type=float, default=0.05, show_default=True)
@click.option("--model", type=click.Choice(get_args(Model)), default="random_slope", show_default=True)
@click.option(
    "--covariance",
    default=",".join(FALLBACK),
    show_default=True,
    callback=lambda *given: _names(given[-1]),
    help="Structures of the MMRM, comma between; the first that can be fitted.",
)
@click.option("--covariance-by-arm", is_flag=True, help="A covariance of the MMRM for each arm.")
@click.option("--df", type=click.Choice(DF_METHODS), default=DF_METHODS[0], show_default=True)
@click.option(
    "--information",
    type=click.Choice(["observed", "expected"]),
    help="What df rest on.  [default: observed; for a random slope by Kenward–Roger or on its boundary expected]",
)
@click.option("--sandwich", type=click.Choice(list(NAMES)), help="The MMRM's standard errors and df by patient.")
@click.option(
    "--sensitivity",
    default="",
    callback=lambda *given: _names(given[-1]),
    help=f"Missing outcomes imputed under these strategies, comma between: {', '.join(STRATEGIES)}.",
)
@click.option("--min-patients", type=int, default=3, show_default=True, help="Fewest patients an arm may have.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def analyze(table: Path, out: Path, protocol: str | None, as_json: bool, **columns: Unpack[TableColumns]) -> None:
    """Compare the arms in TABLE, a long CSV or Parquet file.

    Either --protocol names the plan, or --outcome, --arm, --visit, --patient and --time name the columns. Missing cells
    are empty, NA, NaN, n/a or a dot. Writes results and residuals, each as CSV and Parquet, and models.json. Where the
    primary comparison cannot be made they hold what can be, and the exit code is 4.
    """
    if protocol is not None:
        _refuse_flags(columns)
    comparison = analyze_table(table, out, protocol=protocol, columns=columns)
    _say(comparison, out, as_json=as_json)
    if comparison.primary_absent is not None:
        raise StatisticsError(f"primary comparison ({comparison.primary})", comparison.primary_absent)


def _refuse_flags(columns: TableColumns) -> None:
    """A protocol is the whole plan: a flag beside it would be ignored."""
    context = click.get_current_context()
    given = [name for name in columns if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError("analyze", f"{flags} beside --protocol", "the one or the other", "Put it in the protocol")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _say(comparison: ArmComparison, out: Path, *, as_json: bool) -> None:
    document = comparison.document()
    made = list(dict.fromkeys(model["analysis_id"] for model in document["models"]))
    checks = comparison.agreement
    if as_json:
        check = {"agree": checks.agreeing, "of": checks.total, "others": list(checks.others)}
        answer = {"folder": str(out), "analyses": made, "absent": document["absent"], "independent_check": check}
        click.echo(json.dumps(answer))
        return
    click.echo(f"{len(document['models'])} records ({', '.join(made) or 'none'}) in {out}")
    click.echo(str(checks))
    for other in checks.others:
        click.echo(f"independent check: {other}")
    for name, reason in document["absent"].items():
        click.echo(f"no comparison {name}: {reason}")
