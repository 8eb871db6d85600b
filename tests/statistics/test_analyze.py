"""`trialscan analyze` on real and simulated tables."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from trialscan.cli.analyze import analyze
from trialscan.errors import StatisticsError, UsageError
from trialscan.statistics import analysis_from


def run(*arguments: object):
    return CliRunner().invoke(analyze, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture
def polyps(real_data, tmp_path):
    """The polyp counts of the familial adenomatous polyposis trial, a row a patient and visit."""
    wide = pd.read_csv(real_data / "tables" / "polyps_trial.csv", dtype={"participant_id": str})
    long = wide.melt(
        ["participant_id", "sex", "age", "treatment"], ["baseline", "number3m", "number12m"], "visit", "polyps"
    )
    long["month"] = long["visit"].map({"baseline": 0, "number3m": 3, "number12m": 12})
    path = tmp_path / "polyps.csv"
    long.to_csv(path, index=False)
    return path


POLYPS = (
    *("--outcome", "polyps", "--arm", "treatment", "--visit", "visit", "--patient", "participant_id"),
    *("--time", "month", "--time-unit", "month", "--covariates", "age,sex", "--reference", "placebo"),
    *("--transform", "log1p"),
)


def test_polyps_fall_under_sulindac(polyps, tmp_path):
    outcome = run(polyps, "--out", tmp_path / "out", *POLYPS, "--json")
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout)["absent"] == {}
    assert json.loads(outcome.stdout)["independent_check"] == {"agree": 3, "of": 3, "others": []}
    results = pd.read_csv(tmp_path / "out" / "results.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(
        results.assign(value=pd.to_numeric(results["value"])), pd.read_parquet(tmp_path / "out" / "results.parquet")
    )
    at = results.query("arm == 'sulindac' and comparator == 'placebo'").set_index(["analysis_id", "visit", "statistic"])
    assert float(at.loc[("primary.random_slope", "", "upper"), "value"]) < 0
    assert float(at.loc[("primary.ancova", "number12m", "p"), "value"]) < 0.001
    models = json.loads((tmp_path / "out" / "models.json").read_text())
    assert models["models"][0]["left_out"] == {"records without a value": "2"}
    assert models["models"][0]["n_patients"] == 22


def test_rerun_writes_the_same_bytes(polyps, tmp_path):
    for name in ("first", "second"):
        assert run(polyps, "--out", tmp_path / name, *POLYPS).exit_code == 0
    for name in ("results.csv", "results.parquet", "models.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_protocol_mode_reads_a_runs_analysis_table(analysis, tmp_path):
    protocol = tmp_path / "p.yaml"
    protocol.write_text(
        "study: {id: T1, title: A trial, modality: CT}\n"
        "segmentation: {model: null}\n"
        "endpoints: {primary: {measure: burden_ml}}\n"
        "analysis: {reference_arm: b, alpha: 0.1}\n"
    )
    table = tmp_path / "analysis.parquet"
    analysis.to_parquet(table)
    outcome = run(table, "--out", tmp_path / "out", "--protocol", protocol)
    assert outcome.exit_code == 0
    model = json.loads((tmp_path / "out" / "models.json").read_text())["models"][0]
    assert (model["parameter"], model["reference_arm"], model["alpha"]) == ("BURDENML", "b", 0.1)


def test_named_analyses_and_the_independent_check_are_told(analysis, tmp_path):
    protocol = tmp_path / "p.yaml"
    protocol.write_text(
        "study: {id: T1, title: A trial, modality: CT}\n"
        "segmentation: {model: null}\n"
        "endpoints: {primary: {measure: burden_ml}}\n"
        "analysis:\n"
        "  model: mmrm\n"
        "  ancova: [V2, V3]\n"
        "  responders: [{name: fall, measure: burden_ml, visit: V3, at_most: -30}]\n"
        "  multiplicity: {method: holm}\n"
    )
    table = tmp_path / "analysis.csv"
    analysis.to_csv(table, index=False)
    outcome = run(table, "--out", tmp_path / "out", "--protocol", protocol)
    assert outcome.exit_code == 0
    assert "primary.mmrm, primary.ancova" in outcome.stdout
    assert "responders.fall, multiplicity" in outcome.stdout
    told = next(line for line in outcome.stdout.splitlines() if line.startswith("independent check"))
    assert told.startswith("independent check: 3 of 3 fits agree (statsmodels MixedLM")
    assert "least squares by Householder QR" in told
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(results.query("analysis_id == 'primary.ancova'")["visit"]) == {"V2", "V3"}


def test_a_protocol_may_name_sensitivity_analyses(analysis, tmp_path):
    protocol = tmp_path / "p.yaml"
    protocol.write_text(
        "study: {id: T1, title: A trial, modality: CT}\n"
        "segmentation: {model: null}\n"
        "endpoints: {primary: {measure: burden_ml}}\n"
        "analysis:\n"
        "  model: mmrm\n"
        "  estimand:\n"
        "    intercurrent_events: [{event: stop, strategy: hypothetical, event_day: stop_day}]\n"
        "  missing_data:\n"
        "    strategies: [JR]\n"
        "    tipping_point: {deltas: [-1, 1], steps: 2}\n"
    )
    table = tmp_path / "analysis.csv"
    analysis.assign(STOP_DAY=analysis["USUBJID"].map({"P03": 60, "P04": 40})).to_csv(table, index=False)
    outcome = run(table, "--out", tmp_path / "out", "--protocol", protocol)
    assert outcome.exit_code == 0
    models = {
        each["analysis_id"]: each for each in json.loads((tmp_path / "out" / "models.json").read_text())["models"]
    }
    assert models["primary.estimand"]["intercurrent_events"][0]["patients_by_arm"] == {"a": 1, "b": 1}
    assert models["primary.reference_based.JR"]["n_refits"] == 24
    assert len(models["primary.tipping_point"]["comparisons"][0]["grid"]) == 3


def test_sensitivity_by_flag(polyps, tmp_path):
    with pytest.raises(StatisticsError, match="strategy J2R; expected some of MAR, JR"):
        run(polyps, "--out", tmp_path / "out", *POLYPS, "--sensitivity", "J2R")
    outcome = run(polyps, "--out", tmp_path / "out", *POLYPS, "--sensitivity", "MAR,CIR", "--json")
    made = json.loads(outcome.stdout)["analyses"]
    assert made[-2:] == ["primary.reference_based.MAR", "primary.reference_based.CIR"]


COLUMNS = ("--outcome", "AVAL", "--arm", "TRT01P", "--visit", "AVISIT", "--patient", "USUBJID", "--time", "ADY")


def failing(table: pd.DataFrame, folder, *options: str):
    """`analyze` of a table whose primary comparison cannot be made: what it printed, and its error."""
    path = folder / "table.csv"
    table.to_csv(path, index=False)
    outcome = CliRunner().invoke(analyze, [str(path), "--out", str(folder / "out"), *COLUMNS, *options])
    assert isinstance(outcome.exception, StatisticsError)
    assert outcome.exception.exit_code == 4
    return outcome.stdout, str(outcome.exception)


def test_one_arm_leaves_the_primary_comparison_absent(analysis, tmp_path):
    said, error = failing(analysis[analysis["TRT01P"] == "a"], tmp_path)
    assert "no comparison primary.random_slope: parameter AVAL: only one arm (a)" in said
    assert error.startswith("primary comparison (primary.random_slope): parameter AVAL: only one arm (a)")
    assert "mean" in set(pd.read_csv(tmp_path / "out" / "results.csv")["statistic"])


def test_visits_that_no_patient_shares_leave_an_unstructured_mmrm_absent(analysis, tmp_path):
    late = analysis["USUBJID"] > "P11"
    apart = analysis[~((analysis["AVISIT"] == "V1") & late) & ~((analysis["AVISIT"] == "V3") & ~late)]
    _, error = failing(apart, tmp_path, "--model", "mmrm", "--covariance", "us")
    assert "no patient was seen at both V1 and V3" in error


def test_a_last_visit_without_any_value_is_not_replaced_by_an_earlier_one(analysis, tmp_path):
    empty = analysis.assign(AVAL=analysis["AVAL"].where(analysis["AVISIT"] != "V3"))
    _, error = failing(empty, tmp_path, "--model", "mmrm")
    assert "visit V3, arm b: no patient of any arm has a value" in error
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    mine = results.query("analysis_id == 'primary.mmrm' and comparator == 'a'")
    assert list(dict.fromkeys(mine["visit"])) == ["V1", "V2", "V3"]
    assert list(mine.loc[mine["visit"] == "V3", "statistic"]) == ["not_estimable"]
    early = analysis.assign(AVAL=analysis["AVAL"].where(analysis["AVISIT"] != "V2"))
    path = tmp_path / "early.csv"
    early.to_csv(path, index=False)
    assert run(path, "--out", tmp_path / "early", *COLUMNS, "--model", "mmrm").exit_code == 0


def test_a_protocol_is_the_whole_plan(analysis, tmp_path):
    table = tmp_path / "table.csv"
    analysis.to_csv(table, index=False)
    with pytest.raises(UsageError, match="--outcome, --alpha beside --protocol; expected the one or the other"):
        run(table, "--out", tmp_path / "out", "--protocol", "covid_lung_ct", "--outcome", "AVAL", "--alpha", "0.1")


def test_an_arm_may_be_called_none_and_a_dot_is_missing(analysis, tmp_path):
    table = analysis.assign(
        TRT01P=analysis["TRT01P"].map({"a": "None", "b": "drug"}),
        AVAL=analysis["AVAL"].astype(str).where(analysis.index != 5, "."),
    )
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    run(path, "--out", tmp_path / "out", *COLUMNS, "--reference", "None")
    model = json.loads((tmp_path / "out" / "models.json").read_text())["models"][0]
    assert model["patients_by_arm"] == {"None": 12, "drug": 12}
    assert model["left_out"] == {"records without a value": "1"}


def test_missing_options_and_unreadable_tables(polyps, tmp_path):
    with pytest.raises(UsageError, match="neither a protocol nor arm, visit, patient, time"):
        run(polyps, "--out", tmp_path, "--outcome", "polyps")
    damaged = tmp_path / "table.parquet"
    damaged.write_bytes(b"PAR1")
    with pytest.raises(StatisticsError, match="cannot be read"):
        run(damaged, "--out", tmp_path, *POLYPS)
    headed = tmp_path / "headed.csv"
    headed.write_text("polyps,treatment,visit,participant_id,month,age,sex\n")
    with pytest.raises(StatisticsError, match="no rows; expected a row a patient and visit"):
        run(headed, "--out", tmp_path, *POLYPS)
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(StatisticsError, match="cannot be read"):
        run(empty, "--out", tmp_path, *POLYPS)


def long_table(trial, **settings):
    names = {"outcome": "y", "arm": "arm", "visit": "visit", "patient": "id", "time": "day"}
    return analysis_from(trial, **{**names, **settings})


def test_the_earliest_visit_is_baseline(trial):
    analysis = long_table(trial)
    assert set(analysis.loc[analysis["ABLFL"] == "Y", "AVISIT"]) == {"V0"}
    first = trial.query("visit == 'V0'").set_index("id")["y"]
    assert np.array_equal(analysis["BASE"], trial["id"].map(first))
    assert list(analysis.drop_duplicates("AVISIT")["AVISITN"]) == [0, 1, 2, 3]


def test_baseline_by_visit_or_column(trial):
    assert set(long_table(trial, baseline="V1").query("ABLFL == 'Y'")["AVISIT"]) == {"V1"}
    column = long_table(trial.assign(start=1.5), baseline="start")
    assert (column["ABLFL"] == "").all()
    assert (column["BASE"] == 1.5).all()
    with pytest.raises(StatisticsError, match="'V9' is neither a visit nor a column; expected one of the visits V0"):
        long_table(trial, baseline="V9")


def test_time_units_become_days(trial):
    assert np.allclose(
        long_table(trial.assign(week=trial["day"] / 7), time="week", time_unit="week")["ADY"], trial["day"]
    )
    with pytest.raises(StatisticsError, match="one of day, week, month, year"):
        long_table(trial, time_unit="fortnight")


def test_columns_must_exist_and_keep_clear_of_the_tables_own(trial):
    with pytest.raises(StatisticsError, match="no column named 'dose'"):
        long_table(trial, arm="dose")
    with pytest.raises(StatisticsError, match="base is a column of the analysis table"):
        long_table(trial.assign(base=1), covariates=("base",))
