"""Differences of arms by subgroup: exact in balanced trials, where they are those of simpler models."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.formula.api import ols

from tests.statistics.conftest import as_analysis, simulate
from trialscan.statistics import AnalysisPlan, EndpointPlan, compare_arms
from trialscan.statistics.further.plan import FurtherPlan, SubgroupPlan

PLAN = AnalysisPlan(
    (EndpointPlan("BURDENML", primary=True),),
    further=FurtherPlan(subgroups=(SubgroupPlan("SEX"),)),
    covariates=("age",),
)


@pytest.fixture(scope="module")
def balanced() -> pd.DataFrame:
    """24 patients, every visit on its day; two sexes in both arms, and ages."""
    table = as_analysis(simulate(7, jitter=0))
    number = table["USUBJID"].str[1:].astype(int)
    return table.assign(SEX=np.where(number // 2 % 2, "M", "F"), AGE=40 + (number * 7) % 23)


def subgroup(comparison) -> dict:
    return next(model for model in comparison.models if model.get("kind") == "subgroup")


def test_slopes_of_a_balanced_trial_are_those_of_the_patients(balanced):
    """Each patient's own least-squares slope, and the analysis of variance of these, are exact there."""
    comparison = compare_arms(balanced, replace(PLAN, covariates=()))
    record = subgroup(comparison)
    slopes = [
        (arm, sex, np.polyfit(rows["ADY"], np.log1p(rows["AVAL"]), 1)[0])
        for (arm, sex, _), rows in balanced.groupby(["TRT01P", "SEX", "USUBJID"])
    ]
    slopes = pd.DataFrame(slopes, columns=["arm", "sex", "slope"])
    cells = slopes.groupby(["sex", "arm"])["slope"]
    error = np.sqrt(cells.var().mean() * 2 / 6)
    for level in record["levels"]:
        mean = cells.mean().loc[level["level"]]
        assert_allclose(level["estimate"], mean["b"] - mean["a"], rtol=1e-7)
        assert_allclose([level["se"], level["df"]], [error, 20], rtol=1e-6)
        assert_allclose(level["p"], 2 * stats.t.sf(abs(level["estimate"]) / error, 20), rtol=1e-5)
        assert level["patients"] == 12
    test = ols("slope ~ arm * sex", slopes).fit().f_test("arm[T.b]:sex[T.M] = 0")
    assert_allclose(record["interaction"]["statistic"], test.fvalue, rtol=1e-6)
    assert_allclose(record["interaction"]["p"], test.pvalue, rtol=1e-6)
    assert_allclose([record["interaction"][name] for name in ("numerator_df", "denominator_df")], [1, 20], rtol=1e-6)
    assert record["independent_check"]["verdict"] == "agrees"
    primary = comparison.models[0]
    assert record["overall"][0]["estimate"] == primary["slope_differences_per_day"][0]["estimate"]
    assert record["overall"][0]["patients"] == 24


def test_the_last_visit_of_a_complete_mmrm_is_a_covariance_analysis(balanced):
    record = subgroup(compare_arms(balanced, replace(PLAN, model="mmrm", covariates=())))
    last = balanced[balanced["AVISIT"] == "V3"]
    last = last.assign(change=np.log1p(last["AVAL"]) - np.log1p(last["BASE"]), base=np.log1p(last["BASE"]))
    fit = ols("change ~ 0 + TRT01P:SEX + base", last).fit()
    for level in record["levels"]:
        test = fit.t_test(f"TRT01P[b]:SEX[{level['level']}] - TRT01P[a]:SEX[{level['level']}] = 0")
        assert_allclose(level["estimate"], test.effect[0], rtol=1e-8)
        assert_allclose(level["se"], float(np.squeeze(test.sd)), rtol=1e-6)
        assert_allclose(level["df"], fit.df_resid, rtol=1e-6)
    contrast = "TRT01P[b]:SEX[M] - TRT01P[a]:SEX[M] - TRT01P[b]:SEX[F] + TRT01P[a]:SEX[F] = 0"
    assert_allclose(record["interaction"]["statistic"], fit.f_test(contrast).fvalue, rtol=1e-6)
    assert record["visit"] == "V3"
    assert record["overall"][0]["arm"] == "b"
    assert record["estimate"] == "adjusted_mean_difference"


def test_rows_name_the_level_and_the_interaction(balanced):
    results = compare_arms(balanced, PLAN).results
    level = results[results["analysis_id"] == "primary.subgroup.SEX.F"]
    statistics = ["patients", "slope_difference_per_day", "se", "df", "lower", "upper", "p"]
    assert level["statistic"].tolist() == statistics
    assert set(level["comparator"]) == {"a"}
    test = results[results["analysis_id"] == "primary.subgroup.SEX"]
    assert test["statistic"].tolist() == ["interaction_f", "numerator_df", "denominator_df", "p"]


def test_numbers_are_cut_and_keep_their_place_among_the_covariates(balanced):
    plan = replace(PLAN, further=FurtherPlan(subgroups=(SubgroupPlan("AGE", (45.0, 52.0)),)))
    record = subgroup(compare_arms(balanced, plan))
    assert [level["level"] for level in record["levels"]] == ["≤ 45", "> 45 to 52", "> 52"]
    assert record["formula"] == "log1p(AVAL) ~ TRT01P * ADY * `AGE group` + AGE"
    assert record["interaction"]["numerator_df"] == 2
    ages = balanced.drop_duplicates("USUBJID")["AGE"]
    assert [level["patients"] for level in record["levels"]] == [
        int((ages <= 45).sum()),
        int(((ages > 45) & (ages <= 52)).sum()),
        int((ages > 52).sum()),
    ]


def test_a_covariate_is_not_in_the_model_twice(balanced):
    record = subgroup(compare_arms(balanced, replace(PLAN, covariates=("sex", "age"))))
    assert record["formula"] == "log1p(AVAL) ~ TRT01P * ADY * SEX + AGE"


def test_three_arms_have_a_difference_each_in_every_level(balanced):
    third = balanced["USUBJID"].isin([f"P{number:02d}" for number in range(16, 24)])
    record = subgroup(compare_arms(balanced.assign(TRT01P=balanced["TRT01P"].mask(third, "c")), PLAN))
    found = [(level["level"], level["arm"]) for level in record["levels"]]
    assert found == [("F", "b"), ("F", "c"), ("M", "b"), ("M", "c")]
    assert record["interaction"]["numerator_df"] == 2
    assert [row["arm"] for row in record["overall"]] == ["b", "c"]


def test_patients_in_no_or_a_small_level_are_left_out_by_name(balanced):
    who = balanced["USUBJID"]
    sex = balanced["SEX"].mask(who == "P03", None).mask(who.isin(["P04", "P05"]), "X")
    record = subgroup(compare_arms(balanced.assign(SEX=sex), PLAN))
    assert record["left_out"]["patients without SEX"] == "1 (P03)"
    assert record["left_out"]["level X: fewer than 3 patients in an arm"] == "2 (P04, P05)"
    assert sum(level["patients"] for level in record["levels"]) == 21


def test_a_level_without_data_at_the_last_visit_is_not_estimable_and_the_others_are(balanced):
    level = balanced["USUBJID"].str[1:].astype(int) // 2 % 3
    table = balanced.assign(SEX=level.map({0: "F", 1: "M", 2: "X"}))
    gone = (table["SEX"] == "X") & (table["TRT01P"] == "b") & (table["AVISIT"] == "V3")
    comparison = compare_arms(table[~gone], replace(PLAN, model="mmrm", covariates=(), covariance=("cs",)))
    record = subgroup(comparison)
    assert [each["estimate"] is None for each in record["levels"]] == [False, False, True]
    assert record["interaction"]["numerator_df"] == 1
    assert "without data" in dict(comparison.absent)["primary.subgroup.SEX.X"]


def test_infinite_degrees_of_freedom_stay_empty(balanced):
    comparison = compare_arms(balanced, replace(PLAN, df="asymptotic"))
    assert subgroup(comparison)["levels"][0]["df"] is None
    rows = comparison.results.query("analysis_id == 'primary.subgroup.SEX.F'")
    assert rows.loc[rows["statistic"] == "df", "value"].isna().all()


@pytest.mark.parametrize(
    ("sex", "cuts", "reason"),
    [
        ("F", (), "1 level(s) with 3 patients in every arm; expected two or more"),
        (lambda t: t["AGE"], (), "numbers and no cuts"),
        (lambda t: t["SEX"], (50.0,), "a factor, which cannot be cut"),
    ],
)
def test_subgroups_that_cannot_be_compared_say_why(balanced, sex, cuts, reason):
    table = balanced.assign(SEX=sex(balanced) if callable(sex) else sex)
    plan = replace(PLAN, further=FurtherPlan(subgroups=(SubgroupPlan("SEX", cuts),)))
    assert reason in dict(compare_arms(table, plan).absent)["primary.subgroup.SEX"]
