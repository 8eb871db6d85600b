"""The comparison of the arms: `statistics/results.csv` and `residuals.csv` with Parquet twins, and `models.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from trialscan.pipeline.setting import Setting
from trialscan.pipeline.stages.tabulate import analysed_measures
from trialscan.pipeline.tables import parameters, write_table
from trialscan.pipeline.tasks import Task
from trialscan.statistics import AnalysisPlan, compare_arms, plan_from

VERSION = 2


def analyse_task(setting: Setting) -> Task:
    """The task of the whole trial: the protocol's plan on the analysis table."""
    protocol = setting.protocol
    codes = {parameter.measure: parameter.code for parameter in parameters(analysed_measures(protocol))}
    plan = plan_from(protocol.endpoints, protocol.analysis, codes)
    return Task(
        kind="analyse",
        subject="trial",
        version=VERSION,
        work=analyse,
        arguments=plan,
        parameters=asdict(plan),
        needs=("tabulate trial",),
    )


def analyse(run: Path, plan: AnalysisPlan, failures: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG001 - not tolerant
    """Compare the arms; what the data do not allow stands in the results with its reason."""
    comparison = compare_arms(pd.read_parquet(run / "tables" / "analysis.parquet"), plan)
    written = [
        *write_table(comparison.results, run / "statistics" / "results"),
        *write_table(comparison.residuals, run / "statistics" / "residuals"),
    ]
    models = run / "statistics" / "models.json"
    models.write_text(comparison.models_json(), encoding="utf-8")
    return [path.relative_to(run).as_posix() for path in (*written, models)]
