"""Every fault of a table or formula is told with its patient, time, column or place in the text."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from trialscan.errors import StatisticsError
from trialscan.statistics import fit_mmrm, fit_random_slope
from trialscan.statistics.design import build_design


def design(table, formula="y ~ arm * day"):
    return build_design(table, formula, patient="id", time="day")


@pytest.mark.parametrize(
    ("formula", "where", "found"),
    [
        ("y ~ arm * (day", "column 11", "Could not find matching context marker"),
        ("y ~ arm +* day", "column 9", "incorrectly used"),
        ("y ~ arm day", "column 5", "Missing operator"),
        ("y ~ arm @ day", "column 9", "Unknown operator '@'"),
        ("y ~ arm * dy", "column 11", "no column named 'dy'"),
        ("z ~ arm", "column 1", "no column named 'z'"),
        ("y ~ day | arm", "column 9", "more than one part"),
        ("y ~ arm + {day +}", "formula 'y ~ arm + {day +}', column 12", "invalid syntax in 'day +'"),
        ("~ day", "formula '~ day'", "no outcome"),
        ("day", "formula 'day'", "no outcome"),
        ("", "formula ''", "no outcome"),
        ("y ~ magic(day)", "column 5", "no column named 'magic'"),
    ],
)
def test_formula_faults_point_into_the_formula(trial, formula, where, found):
    with pytest.raises(StatisticsError) as caught:
        design(trial, formula)
    assert where in caught.value.where
    assert found in caught.value.found


def test_unknown_columns(trial):
    with pytest.raises(StatisticsError, match="no column named 'who'; expected one of id, arm"):
        build_design(trial, "y ~ day", patient="who", time="day")


def test_duplicate_patient_and_time(trial):
    with pytest.raises(StatisticsError, match="more than one row for patient P03, day 0"):
        design(pd.concat([trial, trial[(trial["id"] == "P03") & (trial["number"] == 0)]]))


def test_infinite_values_name_patient_and_time(trial):
    trial.loc[(trial["id"] == "P05") & (trial["number"] == 0), "y"] = np.inf
    with pytest.raises(StatisticsError, match="column 'y': infinite value for patient P05, day 0"):
        design(trial)


def test_missing_covariates_are_counted_and_named(trial):
    trial["age"] = 40.0 + trial["number"]
    trial.loc[trial["id"] == "P02", "age"] = np.nan
    with pytest.raises(StatisticsError, match=r"column 'age': missing in 4 of 96 rows \(patient P02\)"):
        design(trial, "y ~ arm * day + age")


def test_missing_time_and_patient(trial):
    later = trial.astype({"day": float})
    later.loc[5, "day"] = np.nan
    with pytest.raises(StatisticsError, match="column 'day': missing in 1 of 96 rows"):
        design(later)
    with pytest.raises(StatisticsError, match=r"column 'id': no patient in 1 row"):
        design(trial.assign(id=[" ", *trial["id"][1:]]))


def test_text_where_numbers_belong(trial):
    with pytest.raises(StatisticsError, match="column 'y': 'high' is not a number"):
        design(trial.assign(y=["high", *map(str, trial["y"][1:])]))


def test_logarithm_outside_its_range_names_the_row(trial):
    trial.loc[trial["id"] == "P01", "y"] = -1.5
    with pytest.raises(StatisticsError, match=r"log1p\(y\) cannot be computed for patient P01, day 0"):
        design(trial, "log1p(y) ~ arm * day")


def test_constant_and_absent_outcomes(trial):
    with pytest.raises(StatisticsError, match="the outcome is 2 in every row"):
        design(trial.assign(y=2.0))
    with pytest.raises(StatisticsError, match="no value at all"):
        design(trial.assign(y=np.nan))
    with pytest.raises(StatisticsError, match="reproduce the outcome exactly"):
        design(trial.assign(y=trial["day"] * 3.0 + 1))


def test_one_patient(trial):
    with pytest.raises(StatisticsError, match="1 patient with an outcome; expected at least 2"):
        design(trial[trial["id"] == "P00"], "y ~ day")


def test_aliased_columns_are_named(trial):
    with pytest.raises(StatisticsError, match=r"aliased column\(s\) week"):
        design(trial.assign(week=trial["day"] / 7), "y ~ arm + day + week")


def test_a_factor_of_one_level_is_refused(trial):
    with pytest.raises(StatisticsError, match="column 'arm': a in every row"):
        design(trial[trial["arm"] == "a"])


def test_factors_follow_names_or_a_declared_order(trial):
    assert design(trial).names == ("Intercept", "arm[T.b]", "day", "arm[T.b]:day")
    declared = trial.assign(arm=pd.Categorical(trial["arm"], ["c", "b", "a"]))
    assert design(declared).names == ("Intercept", "arm[T.a]", "day", "arm[T.a]:day")


def test_nullable_and_text_columns_are_read_as_numbers(trial):
    plain = fit_random_slope(trial, "y ~ arm * day", patient="id", time="day")
    other = trial.astype({"y": "Float64", "day": "Int64", "arm": "string", "id": "category"})
    text = trial.astype({"y": object}).assign(day=trial["day"].astype(str))
    for table in (other, text):
        result = fit_random_slope(table, "y ~ arm * day", patient="id", time="day")
        assert result.beta.tobytes() == plain.beta.tobytes()


@pytest.mark.parametrize("fit", [partial(fit_mmrm, visit="time"), partial(fit_random_slope, time="time")])
def test_a_table_that_is_no_data_frame_is_refused(fit):
    with pytest.raises(StatisticsError, match="a dict; expected a pandas DataFrame"):
        fit({"y": [1.0], "id": ["p"], "time": [0]}, "y ~ time", patient="id")
