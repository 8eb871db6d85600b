"""A long table, from anywhere, to the comparison of its arms: what `trialscan analyze` does."""

from pathlib import Path
from typing import Literal, TypedDict

import pandas as pd

from trialscan.errors import StatisticsError, UsageError
from trialscan.pipeline.stages.tabulate import analysed_measures
from trialscan.pipeline.tables import parameters, write_table
from trialscan.statistics import AnalysisPlan, ArmComparison, EndpointPlan, analysis_from, compare_arms, plan_from
from trialscan.statistics.estimand_plan import MissingDataPlan
from trialscan.statistics.inference import DF_METHODS, Information
from trialscan.statistics.long_table import parameter_code
from trialscan.statistics.mmrm import FALLBACK
from trialscan.statistics.mmrm.sandwich import Sandwich
from trialscan.statistics.plan import Model, Transform
from trialscan.study import load_protocol

COLUMNS: tuple[Literal["outcome", "arm", "visit", "patient", "time"], ...] = (
    "outcome",
    "arm",
    "visit",
    "patient",
    "time",
)
MISSING = ["", ".", "NA", "N/A", "n/a", "NaN", "nan"]  # R's, SAS's, Python's and people's


class TableColumns(TypedDict, total=False):
    """What the columns of a table mean, and how its arms are compared, where no protocol says so.

    `outcome`, `arm`, `visit`, `patient`, `time` and `covariates` name columns; `baseline` names a visit or a column
    (None: the earliest visit); `time_unit` is day, week, month or year; `reference` is the arm to compare with (None:
    the first by name); `transform` is none (the default) or log1p; intervals cover 1 − `alpha` (0.05); an arm of fewer
    than `min_patients` (3) is not modelled. `model`, `covariance`, `covariance_by_arm`, `df`,
    `information` and `sandwich` are those of `AnalysisPlan`;
    `sensitivity` are strategies of `reference_based`.
    """

    outcome: str | None
    arm: str | None
    visit: str | None
    patient: str | None
    time: str | None
    time_unit: str
    baseline: str | None
    covariates: tuple[str, ...]
    reference: str | None
    transform: Transform
    alpha: float
    min_patients: int
    model: Model
    covariance: tuple[str, ...]
    covariance_by_arm: bool
    df: str
    information: Information | None
    sandwich: Sandwich | None
    sensitivity: tuple[str, ...]


def analyze_table(table: Path, out: Path, *, protocol: str | Path | None, columns: TableColumns) -> ArmComparison:
    """Compare the arms in a long CSV or Parquet file and write results, residuals (CSV and Parquet) and models.json.

    With a `protocol` the table is a run's analysis.csv and `columns` is not used.

    Raises
    ------
    UsageError
        There is no protocol, and one of the five columns is not named.
    StatisticsError
        The file cannot be read, lacks a column, or holds what no analysis takes.
    """
    data = _read(table)
    comparison = _by_columns(data, columns) if protocol is None else _by_protocol(data, protocol)
    write_table(comparison.results, out / "results")
    write_table(comparison.residuals, out / "residuals")
    (out / "models.json").write_text(comparison.models_json(), encoding="utf-8")
    return comparison


def _read(path: Path) -> pd.DataFrame:
    """A CSV as text throughout, so that patient 001 keeps its name; numbers are read column by column later.

    Only `MISSING` are missing: an arm may be called None.
    """
    try:
        if path.suffix == ".parquet":
            data = pd.read_parquet(path)
        else:
            data = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=MISSING, skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise StatisticsError(str(path), f"cannot be read: {error}", "a CSV or Parquet table") from error
    if not len(data):
        raise StatisticsError(str(path), "no rows", "a row a patient and visit")
    return data


def _by_protocol(data: pd.DataFrame, name: str | Path) -> ArmComparison:
    protocol = load_protocol(name)
    codes = {parameter.measure: parameter.code for parameter in parameters(analysed_measures(protocol))}
    return compare_arms(data, plan_from(protocol.endpoints, protocol.analysis, codes))


def _by_columns(data: pd.DataFrame, columns: TableColumns) -> ArmComparison:
    outcome, arm, visit, patient, time = (columns.get(name) for name in COLUMNS)
    if outcome is None or arm is None or visit is None or patient is None or time is None:
        absent = ", ".join(name for name in COLUMNS if columns.get(name) is None)
        raise UsageError("analyze", f"neither a protocol nor {absent}", "a protocol, or the names of all five columns")
    covariates = columns.get("covariates", ())
    analysis = analysis_from(
        data,
        outcome=outcome,
        arm=arm,
        visit=visit,
        patient=patient,
        time=time,
        time_unit=columns.get("time_unit", "day"),
        covariates=covariates,
        baseline=columns.get("baseline"),
    )
    endpoint = EndpointPlan(parameter_code(outcome), columns.get("transform", "none"), primary=True)
    plan = AnalysisPlan(
        endpoints=(endpoint,),
        covariates=covariates,
        reference_arm=columns.get("reference"),
        alpha=columns.get("alpha", 0.05),
        min_patients_per_arm=columns.get("min_patients", 3),
        model=columns.get("model", "random_slope"),
        covariance=columns.get("covariance", FALLBACK),
        covariance_by_arm=columns.get("covariance_by_arm", False),
        df=columns.get("df", DF_METHODS[0]),
        information=columns.get("information"),
        sandwich=columns.get("sandwich"),
        missing_data=MissingDataPlan(columns.get("sensitivity", ())),
    )
    return compare_arms(analysis, plan)
