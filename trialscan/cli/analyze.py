"""`trialscan analyze TABLE --out DIR`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pandas as pd

from trialscan.errors import StatisticsError, UsageError
from trialscan.pipeline.stages.tabulate import endpoint_measures
from trialscan.pipeline.tables import parameters, write_table
from trialscan.statistics import AnalysisPlan, ArmComparison, EndpointPlan, analysis_from, compare_arms, plan_from
from trialscan.statistics.long_table import DAYS_PER_UNIT, parameter_code
from trialscan.study import load_protocol

COLUMNS = ("outcome", "arm", "visit", "patient", "time")


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
@click.option("--covariates", default="", help="Columns, separated by commas.")
@click.option("--reference", help="The arm to compare with.  [default: the first by name]")
@click.option("--transform", type=click.Choice(["none", "log1p"]), default="none", show_default=True)
@click.option("--alpha", type=float, default=0.05, show_default=True)
@click.option("--min-patients", type=int, default=3, show_default=True, help="Fewest patients an arm may have.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def analyze(table: Path, out: Path, protocol: str | None, as_json: bool, **flags: str | float | None) -> None:
    """Compare the arms in TABLE, a long CSV or Parquet file.

    Either --protocol names the plan, or --outcome, --arm, --visit, --patient and --time name the columns. Writes
    results.csv, results.parquet and models.json.
    """
    data = _read(table)
    comparison = _by_protocol(data, protocol) if protocol else _by_flags(data, flags)
    write_table(comparison.results, out / "results")
    (out / "models.json").write_text(comparison.models_json(), encoding="utf-8")
    _say(comparison, out, as_json=as_json)


def _read(path: Path) -> pd.DataFrame:
    """A CSV as text throughout, so that patient 001 keeps its name; numbers are read column by column later."""
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    except (ValueError, OSError) as error:
        raise StatisticsError(str(path), f"cannot be read: {error}", "a CSV or Parquet table") from error


def _by_protocol(data: pd.DataFrame, name: str) -> ArmComparison:
    protocol = load_protocol(name)
    codes = {parameter.measure: parameter.code for parameter in parameters(endpoint_measures(protocol))}
    return compare_arms(data, plan_from(protocol.endpoints, protocol.analysis, codes))


def _by_flags(data: pd.DataFrame, flags: Mapping[str, Any]) -> ArmComparison:
    columns = {name: flags[name] for name in COLUMNS}
    absent = [f"--{name}" for name, column in columns.items() if column is None]
    if absent:
        raise UsageError("trialscan analyze", f"without --protocol, {', '.join(absent)} is needed")
    covariates = tuple(name.strip() for name in flags["covariates"].split(",") if name.strip())
    analysis = analysis_from(
        data, **columns, time_unit=flags["time_unit"], covariates=covariates, baseline=flags["baseline"]
    )
    endpoint = EndpointPlan(parameter_code(flags["outcome"]), flags["transform"], primary=True)
    plan = AnalysisPlan((endpoint,), covariates, flags["reference"], flags["alpha"], flags["min_patients"])
    return compare_arms(analysis, plan)


def _say(comparison: ArmComparison, out: Path, *, as_json: bool) -> None:
    document = comparison.document()
    made = list(dict.fromkeys(model["analysis_id"] for model in document["models"]))
    if as_json:
        click.echo(json.dumps({"folder": str(out), "analyses": made, "absent": document["absent"]}))
        return
    click.echo(f"{len(document['models'])} models ({', '.join(made) or 'none'}) in {out}")
    for name, reason in document["absent"].items():
        click.echo(f"no comparison {name}: {reason}")
