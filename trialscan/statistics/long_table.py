"""Any long table of repeated measures as an analysis table."""

import numpy as np
import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.arm_data import REQUIRED
from trialscan.statistics.columns import listed, numeric_column, require_columns, text_column

DAYS_PER_UNIT = {"day": 1.0, "week": 7.0, "month": 30.4375, "year": 365.25}


def parameter_code(outcome: str) -> str:
    """PARAMCD of an outcome column: its letters and digits in capitals, at most eight."""
    return "".join(letter for letter in outcome.upper() if letter.isalnum())[:8]


def analysis_from(
    data: pd.DataFrame,
    *,
    outcome: str,
    arm: str,
    visit: str,
    patient: str,
    time: str,
    time_unit: str = "day",
    covariates: tuple[str, ...] = (),
    baseline: str | None = None,
) -> pd.DataFrame:
    """The columns of tables/analysis.csv from a table with a row a patient and visit.

    Parameters
    ----------
    outcome, arm, visit, patient, time, covariates : columns of `data`.
    time_unit : day, week, month (30.4375 days) or year (365.25 days); ADY is in days.
    baseline : a visit, or a column that holds each patient's baseline value; None takes the visit of the earliest
        median time.

    Raises
    ------
    StatisticsError : an unknown column, unit or baseline; a covariate whose name in capitals is already taken.
    """
    require_columns(data, (outcome, arm, visit, patient, time, *covariates), "table")
    _refuse_misnamed(time_unit, covariates)
    table = data.reset_index(drop=True)
    visits = text_column(table[visit])
    days = numeric_column(table, time) * DAYS_PER_UNIT[time_unit]
    order = _order(visits, days)
    values = pd.Series(numeric_column(table, outcome))
    who = text_column(table[patient])
    flag, base = _baseline(table, visits, who, values, order[0] if baseline is None and order else baseline)
    return pd.DataFrame(
        {
            "USUBJID": who,
            "TRT01P": text_column(table[arm]),
            "PARAMCD": parameter_code(outcome),
            "PARAM": outcome,
            "AVISIT": visits,
            "AVISITN": visits.map({name: number for number, name in enumerate(order)}),
            "ADY": days,
            "AVAL": values,
            "BASE": base,
            "ABLFL": np.where(flag, "Y", ""),
            "ANL01FL": np.where(values.notna(), "Y", ""),
            **{name.upper(): table[name] for name in covariates},
        }
    )


def _refuse_misnamed(time_unit: str, covariates: tuple[str, ...]) -> None:
    if time_unit not in DAYS_PER_UNIT:
        raise StatisticsError("time unit", repr(time_unit), f"one of {', '.join(DAYS_PER_UNIT)}")
    taken = [name for name in covariates if name.upper() in REQUIRED]
    if taken:
        raise StatisticsError(
            "covariates",
            f"{listed(taken)} is a column of the analysis table",
            "another name",
            "Rename the column; baseline values are in the model already, from the column or visit named as baseline",
        )


def _order(visits: "pd.Series[str]", days: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[str]:
    """Visits by median time, then name."""
    medians = pd.DataFrame({"visit": visits, "day": days}).groupby("visit")["day"].median().reset_index()
    return [str(name) for name in medians.sort_values(["day", "visit"])["visit"]]


def _baseline(
    table: pd.DataFrame,
    visits: "pd.Series[str]",
    who: "pd.Series[str]",
    values: "pd.Series[float]",
    baseline: str | None,
) -> tuple["pd.Series[bool]", "pd.Series[float]"]:
    """Which rows are a baseline, and every row's baseline value."""
    if baseline is not None and (visits == baseline).any():
        flag = visits == baseline
        first = values[flag].groupby(who[flag]).first()
        return flag, who.map(first).astype("float64")
    if baseline in table.columns:
        return pd.Series(data=False, index=table.index), pd.Series(numeric_column(table, str(baseline)))
    names = ", ".join(sorted(visits.dropna().unique()))
    raise StatisticsError("baseline", f"{baseline!r} is neither a visit nor a column", f"one of the visits {names}")
