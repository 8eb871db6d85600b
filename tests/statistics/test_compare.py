"""The comparison of arms: against R, against each other's closed forms, and honest about what is absent."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from trialscan.errors import StatisticsError
from trialscan.statistics import AnalysisPlan, EndpointPlan, analysis_from, compare_arms, fit_mmrm, fit_random_slope

PLAN = AnalysisPlan((EndpointPlan("BURDENML", primary=True),))
COLUMNS = ["analysis_id", "parameter", "visit", "arm", "comparator", "statistic", "value", "note"]


def cell(results, analysis_id, statistic, **where):
    """The one value under an analysis and a statistic."""
    chosen = results[(results["analysis_id"] == analysis_id) & (results["statistic"] == statistic)]
    for column, value in where.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1, chosen
    return chosen["value"].iloc[0]


@pytest.fixture(scope="module")
def lesion_trial(request):
    folder = request.getfixturevalue("real_data") / "statistics"
    table = pd.read_csv(folder / "lesion_trial.csv")
    analysis = analysis_from(
        table,
        outcome="vol_ml",
        arm="arm",
        visit="visit",
        patient="id",
        time="week",
        time_unit="week",
        covariates=("base_log",),
        baseline="base_vol",
    )
    plan = AnalysisPlan((EndpointPlan("VOLML", primary=True),), reference_arm="control")
    references = {name: json.loads((folder / f"lesion_{name}.json").read_text()) for name in ("other", "slope")}
    return analysis, plan, references


def test_visit_wise_covariance_analysis_is_rs(lesion_trial):
    analysis, plan, references = lesion_trial
    theirs = references["other"]["ancova"]
    results = compare_arms(analysis, plan).results
    at = {"visit": "V5", "arm": "active", "comparator": "control"}
    contrast = theirs["contrast"][0]
    for statistic, key in {
        "adjusted_mean_difference": "estimate",
        "se": "SE",
        "df": "df",
        "t": "t.ratio",
        "p": "p.value",
        "lower": "lower.CL",
        "upper": "upper.CL",
    }.items():
        assert_allclose(cell(results, "primary.ancova", statistic, **at), contrast[key], rtol=1e-9)
    for row in theirs["lsmeans"]:
        mean = {"visit": "V5", "arm": row["arm"], "comparator": ""}
        assert_allclose(cell(results, "primary.ancova", "adjusted_mean_change", **mean), row["emmean"], rtol=1e-9)
        assert_allclose(cell(results, "primary.ancova", "se", **mean), row["SE"], rtol=1e-9)
    percent = [cell(results, "primary.ancova", f"percent_difference{end}", **at) for end in ("", "_lower", "_upper")]
    assert_allclose(1 + np.array(percent) / 100, theirs["back_transformed_ratio"], rtol=1e-9)
    ratio = [cell(results, "primary.ancova", f"ratio{end}", **at) for end in ("", "_lower", "_upper")]
    assert_allclose(ratio, theirs["back_transformed_ratio"], rtol=1e-9)
    sizes = sum(
        cell(results, "primary.ancova", "n", visit="V5", arm=arm, comparator="") for arm in ("control", "active")
    )
    assert sizes == theirs["n"]


def test_slopes_by_arm_are_rs(lesion_trial):
    analysis, plan, references = lesion_trial
    with_base = AnalysisPlan(plan.endpoints, ("base_log",), "control")
    comparison = compare_arms(analysis, with_base)
    years = 52 * 7
    for row in references["slope"]["emtrends"][0]["slopes"]:  # standard errors there are not Kenward–Roger's
        where = {"arm": row["arm"], "comparator": ""}
        slope = cell(comparison.results, "primary.random_slope", "slope_per_day", **where)
        assert_allclose(slope * years, row["t.trend"], rtol=1e-6)
        assert_allclose(cell(comparison.results, "primary.random_slope", "se", **where) * years, row["SE"], rtol=2e-3)
        percent = cell(comparison.results, "primary.random_slope", "percent_change_per_28_days", **where)
        assert_allclose(percent, 100 * (np.exp(28 * slope) - 1))
    model = comparison.models[0]
    data = analysis.assign(TRT01P=pd.Categorical(analysis["TRT01P"], ["control", "active"]))
    direct = fit_random_slope(data, model["formula"], patient="USUBJID", time="ADY")
    row = direct.slope_differences("TRT01P").loc["active"]
    where = {"arm": "active", "comparator": "control"}
    for name in ("se", "df", "t", "p", "lower", "upper"):
        assert cell(comparison.results, "primary.random_slope", name, **where) == row[name]
    assert comparison.models[0]["independent_check"]["verdict"] == "agrees"


def test_an_mmrm_gives_the_changes_at_visits_in_place_of_covariance_analyses(lesion_trial):
    analysis, plan, _ = lesion_trial
    comparison = compare_arms(analysis, replace(plan, model="mmrm"))
    assert comparison.absent == ()
    made = {"primary.descriptive", "primary.random_slope", "primary.mmrm", "primary.missingness"}
    assert set(comparison.results["analysis_id"]) == made
    model = comparison.models[1]
    assert model["covariance"]["structure"] == "us"
    assert model["inference"] == "Kenward–Roger, natural parameters, observed information"
    assert [model[name] for name in ("df_method", "information", "parameterisation")] == [
        "kenward-roger",
        "observed",
        "natural",
    ]
    data = analysis.assign(TRT01P=pd.Categorical(analysis["TRT01P"], ["control", "active"]))
    data = data[(data["ABLFL"] != "Y") & data["AVAL"].notna()]
    direct = fit_mmrm(data, model["formula"], patient="USUBJID", visit="AVISIT")
    assert model["minus2loglik"] == pytest.approx(direct.minus2loglik, rel=1e-12)
    row = direct.lsmeans_differences("TRT01P", "AVISIT").loc[("active", "V5")]
    where = {"visit": "V5", "arm": "active", "comparator": "control"}
    for ours, name in {"adjusted_mean_difference": "estimate", "se": "se", "df": "df", "p": "p"}.items():
        assert_allclose(cell(comparison.results, "primary.mmrm", ours, **where), row[name], rtol=1e-9)
    size = cell(comparison.results, "primary.mmrm", "n", visit="V5", arm="active", comparator="")
    assert size == ((data["AVISIT"] == "V5") & (data["TRT01P"] == "active")).sum()


@pytest.mark.parametrize("sandwich", [None, "CR2"])
def test_an_mmrm_takes_covariance_information_and_errors_from_the_plan(lesion_trial, sandwich):
    analysis, plan, _ = lesion_trial
    plan = replace(plan, model="mmrm", covariance_by_arm=True, information="expected", sandwich=sandwich)
    comparison = compare_arms(analysis, plan)
    model = comparison.models[1]
    assert list(model["covariance"]["matrices"]) == ["active", "control"]
    data = analysis[(analysis["ABLFL"] != "Y") & analysis["AVAL"].notna()]
    data = data.assign(TRT01P=pd.Categorical(data["TRT01P"], ["control", "active"]))
    options = {"group": "TRT01P", "information": "expected", "sandwich": sandwich}
    direct = fit_mmrm(data, model["formula"], patient="USUBJID", visit="AVISIT", **options)
    row = direct.lsmeans_differences("TRT01P", "AVISIT").loc[("active", "V5")]
    where = {"visit": "V5", "arm": "active", "comparator": "control"}
    for name in ("se", "df", "p"):
        assert_allclose(cell(comparison.results, "primary.mmrm", name, **where), row[name], rtol=1e-8)
    assert comparison.models[0]["information"] == "expected"


@pytest.mark.parametrize("setting", [{"covariance_by_arm": True}, {"sandwich": "CR2"}])
def test_what_only_an_mmrm_has_is_refused_without_one(setting):
    with pytest.raises(StatisticsError, match="model 'mmrm'"):
        replace(PLAN, **setting)


@pytest.mark.parametrize("setting", [{"information": "fisher"}, {"sandwich": "HC3"}, {"df": "bw"}, {"model": "gee"}])
def test_unknown_options_are_refused(setting):
    with pytest.raises(StatisticsError, match=rf"plan: {next(iter(setting))}"):
        replace(PLAN, **setting)


def test_an_mmrm_that_falls_back_says_why(analysis):
    third = analysis["AVISIT"] == "V3"
    first = analysis["AVISIT"] == "V1"
    apart = analysis[~(third & (analysis["USUBJID"] < "P12")) & ~(first & (analysis["USUBJID"] >= "P12"))]
    model = compare_arms(apart, replace(PLAN, model="mmrm")).models[1]
    assert model["covariance"]["structure"] != "us"
    assert "no patient was seen at both V1 and V3" in model["convergence"]["fallback"][0]


def test_a_visit_that_an_arm_lacks_costs_that_difference_alone(analysis):
    lacking = analysis[~((analysis["TRT01P"] == "b") & (analysis["AVISIT"] == "V3"))]
    comparison = compare_arms(lacking, replace(PLAN, model="mmrm"))
    [(name, reason)] = comparison.absent
    assert name == "primary.mmrm"
    assert reason.startswith("visit V3, arm b: not estimable")
    rows = comparison.results.query("analysis_id == 'primary.mmrm' and statistic == 'not_estimable'")
    assert list(zip(rows["visit"], rows["arm"], rows["comparator"], strict=True)) == [("V3", "b", ""), ("V3", "b", "a")]
    assert cell(comparison.results, "primary.mmrm", "p", visit="V2", arm="b", comparator="a") > 0
    assert comparison.models[1]["aliased"] == ["TRT01P[T.b]:AVISIT[T.V3]"]


def test_one_visit_after_baseline_is_no_mmrm(analysis):
    two = analysis[analysis["AVISIT"].isin(["V0", "V1"])]
    absent = dict(compare_arms(two, replace(PLAN, model="mmrm")).absent)
    assert "1 visit(s) after baseline; expected two or more" in absent["primary.mmrm"]


@pytest.mark.parametrize("change", [{"model": "anova"}, {"df": "wald"}, {"covariance": ("us", "vc")}])
def test_a_plan_of_unknown_methods_is_refused(change):
    with pytest.raises(StatisticsError, match="plan: "):
        replace(PLAN, **change)


def test_table_has_fixed_columns_and_says_how_degrees_of_freedom_were_had(analysis):
    comparison = compare_arms(analysis, PLAN)
    assert list(comparison.results.columns) == COLUMNS
    assert comparison.absent == ()
    slopes = comparison.results.query("analysis_id == 'primary.random_slope' and statistic == 'p'")
    assert slopes["note"].str.contains("Kenward–Roger, natural parameters").all()
    percent = comparison.results.query("statistic == 'percent_change_per_28_days'")
    assert percent["note"].str.contains("percent change per 28 days of (Burden + 1 ml)", regex=False).all()
    identifiers = set(comparison.results["analysis_id"])
    assert identifiers == {"primary.descriptive", "primary.random_slope", "primary.ancova", "primary.missingness"}


def test_slope_model_is_the_fit_it_names(analysis):
    model = compare_arms(analysis, PLAN).models[0]
    assert model["formula"] == "log1p(AVAL) ~ TRT01P * ADY"
    direct = fit_random_slope(analysis, model["formula"], patient="USUBJID", time="ADY")
    assert model["minus2loglik"] == direct.minus2loglik
    assert [row["estimate"] for row in model["coefficients"]] == list(direct.beta)
    assert model["convergence"]["relative_gradient"] < 1e-8
    assert len(model["convergence"]["hessian_eigenvalues"]) == 4


def test_covariance_analysis_by_normal_equations(analysis):
    results = compare_arms(analysis, PLAN).results
    rows = analysis[analysis["AVISIT"] == "V2"]
    y = np.log1p(rows["AVAL"]) - np.log1p(rows["BASE"])
    X = np.column_stack([np.ones(len(rows)), rows["TRT01P"] == "b", np.log1p(rows["BASE"])]).astype(float)
    inverse = np.linalg.inv(X.T @ X)
    beta = inverse @ X.T @ y
    df = len(rows) - 3
    se = np.sqrt(np.sum((y - X @ beta) ** 2) / df * inverse[1, 1])
    where = {"visit": "V2", "arm": "b", "comparator": "a"}
    assert_allclose(cell(results, "primary.ancova", "adjusted_mean_difference", **where), beta[1], rtol=1e-8)
    assert_allclose(cell(results, "primary.ancova", "p", **where), 2 * stats.t.sf(abs(beta[1] / se), df), rtol=1e-8)
    mean = np.array([1.0, 0.0, X[:, 2].mean()]) @ beta
    assert_allclose(
        cell(results, "primary.ancova", "adjusted_mean_change", visit="V2", arm="a", comparator=""), mean, rtol=1e-8
    )


def test_descriptive_statistics_are_on_the_scale_of_measurement(analysis):
    results = compare_arms(analysis, PLAN).results
    values = analysis.query("AVISIT == 'V1' and TRT01P == 'a'")["AVAL"]
    where = {"visit": "V1", "arm": "a"}
    assert cell(results, "primary.descriptive", "n", **where) == 12
    for statistic, value in {
        "mean": np.mean(values),
        "sd": np.std(values, ddof=1),
        "median": np.median(values),
    }.items():
        assert_allclose(cell(results, "primary.descriptive", statistic, **where), value, rtol=1e-12)
    assert cell(results, "primary.descriptive", "min", **where) == min(values)
    assert cell(results, "primary.descriptive", "max", **where) == max(values)


def test_row_order_changes_no_byte(analysis):
    first = compare_arms(analysis, PLAN)
    second = compare_arms(analysis.sample(frac=1, random_state=11), PLAN)
    assert first.results.to_csv() == second.results.to_csv()
    assert first.models_json() == second.models_json()


def test_secondary_endpoints_follow_in_order(analysis):
    second = analysis.assign(PARAMCD="ORGANML", PARAM="Organ (ml)")
    plan = AnalysisPlan((EndpointPlan("ORGANML", "none"), EndpointPlan("BURDENML", primary=True)))
    comparison = compare_arms(pd.concat([second, analysis]), plan)
    identifiers = list(dict.fromkeys(comparison.results["analysis_id"]))
    kinds = ["descriptive", "random_slope", "ancova", "missingness"]
    assert identifiers == [f"{name}.{kind}" for name in ("primary", "secondary1") for kind in kinds]
    raw = comparison.results[comparison.results["analysis_id"].str.startswith("secondary1")]
    assert not raw["statistic"].str.startswith(("percent_change", "percent_difference")).any()


def test_three_arms_are_compared_with_the_reference(analysis):
    third = {f"P{number:02d}": "c" for number in (1, 5, 9, 13)}
    arms = analysis["USUBJID"].map(third).fillna(analysis["TRT01P"])
    plan = AnalysisPlan(PLAN.endpoints, reference_arm="b")
    results = compare_arms(analysis.assign(TRT01P=arms), plan).results
    compared = results[results["statistic"] == "slope_difference_per_day"]
    assert list(zip(compared["arm"], compared["comparator"], strict=True)) == [("a", "b"), ("c", "b")]


def test_an_arm_with_too_few_patients_is_left_out_and_told(analysis):
    arms = analysis["USUBJID"].map({"P01": "c"}).fillna(analysis["TRT01P"])
    comparison = compare_arms(analysis.assign(TRT01P=arms), PLAN)
    reasons = dict(comparison.absent)
    assert reasons["primary.random_slope"] == "arm c has 1 patient(s) with two or more visits"
    rows = comparison.results[comparison.results["statistic"] == "not_estimable"]
    assert set(rows["arm"]) == {"c"}
    assert rows["value"].isna().all()
    assert (rows["note"] != "").all()
    assert cell(comparison.results, "primary.random_slope", "slope_difference_per_day", arm="b") < 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: table.assign(TRT01P=None), "no patient has an arm; expected at least two arms"),
        (lambda table: table.assign(TRT01P=" "), "no patient has an arm"),
        (lambda table: table[table["TRT01P"] == "a"], "only one arm (a); expected at least two arms"),
        (lambda table: table[table["USUBJID"].isin(["P00", "P01", "P02"])], "arm a has 2 patient(s) with two or more"),
        (lambda table: table[table["AVISITN"] == 0], "arm a has 0 patient(s) with two or more visits"),
        (lambda table: table[table["AVISITN"] < 2], "expected patients with at least three different times"),
        (lambda table: table.assign(AVAL=5.0, BASE=5.0), "the outcome is 1.79176 in every row"),
        (lambda table: table.assign(AVAL=np.nan), "no records with a value"),
        (lambda table: table.assign(PARAMCD="OTHER"), "no records with a value"),
        (lambda table: table.assign(ANL01FL=None), "no records with a value"),
        (lambda table: table.iloc[:0], "no records with a value"),
        (lambda table: table.assign(ADY=7), "more than one row for patient P00, ADY 7"),
    ],
)
def test_absent_comparisons_say_why(analysis, change, reason):
    comparison = compare_arms(change(analysis), PLAN)
    absent = dict(comparison.absent)
    assert reason in absent["primary.random_slope"]
    row = comparison.results.query("analysis_id == 'primary.random_slope'")
    assert list(row["statistic"]) == ["not_estimable"]
    assert reason in row["note"].iloc[0]
    assert json.loads(comparison.models_json())["absent"]["primary.random_slope"] == absent["primary.random_slope"]


def test_no_visit_after_baseline(analysis):
    comparison = compare_arms(analysis[analysis["AVISITN"] == 0], PLAN)
    assert "no patient has a value after baseline" in dict(comparison.absent)["primary.ancova"]


def test_patients_without_an_arm_or_a_covariate_are_named(analysis):
    arms = analysis["TRT01P"].where(analysis["USUBJID"] != "P03", None)
    age = analysis["USUBJID"].str[1:].where(analysis["USUBJID"] != "P04", "")
    plan = AnalysisPlan(PLAN.endpoints, ("age", "sex"))
    model = compare_arms(analysis.assign(TRT01P=arms, AGE=age, SEX="F"), plan).models[0]
    assert model["left_out"] == {
        "patients without AGE": "1 (P04)",
        "patients without an arm": "1 (P03)",
        "covariate SEX": "has one value only and is not in the model",
    }
    assert model["formula"] == "log1p(AVAL) ~ TRT01P * ADY + AGE"
    assert model["patients_by_arm"] == {"a": 11, "b": 11}
    assert "AGE" in [row["name"] for row in model["coefficients"]]


def test_a_covariate_that_nobody_has(analysis):
    comparison = compare_arms(analysis.assign(AGE=None), AnalysisPlan(PLAN.endpoints, ("age",)))
    assert not [model for model in comparison.models if "formula" in model]
    assert dict(comparison.absent)["primary.random_slope"].startswith("covariates: no patient has AGE")


def test_blank_arms_get_descriptive_rows_of_their_own(analysis):
    arms = analysis["TRT01P"].where(analysis["USUBJID"] != "P03", None)
    results = compare_arms(analysis.assign(TRT01P=arms), PLAN).results
    blank = results.query("analysis_id == 'primary.descriptive' and arm == ''")
    assert set(blank["note"]) == {"patients without an arm"}
    assert cell(results, "primary.descriptive", "n", visit="V0", arm="") == 1
    assert "sd" not in set(blank["statistic"])


def test_a_covariate_that_repeats_the_arm_is_told(analysis):
    plan = AnalysisPlan(PLAN.endpoints, ("site",))
    comparison = compare_arms(analysis.assign(SITE="S" + analysis["TRT01P"]), plan)
    assert "aliased column" in dict(comparison.absent)["primary.random_slope"]
    assert "SITE[T.Sb]" in dict(comparison.absent)["primary.ancova"]


def test_messy_cohort_with_single_visits_and_blank_arms():
    """Most patients seen once, arms blank for some: descriptive rows, and a reason instead of a comparison."""
    rng = np.random.default_rng(5)
    rows = []
    for number in range(44):
        arm = (None, "died", "survived")[number % 3]
        for visit in range(3 if number < 4 else 1):
            value = float(rng.uniform(0, 60))
            rows.append((f"p{number:03d}", arm, f"D{visit:02d}", visit, 3 * visit, value, "Y" if visit == 0 else None))
    names = ["USUBJID", "TRT01P", "AVISIT", "AVISITN", "ADY", "AVAL", "ABLFL"]
    table = pd.DataFrame(rows, columns=names)
    first = table.query("AVISITN == 0").set_index("USUBJID")["AVAL"]
    table = table.assign(PARAMCD="BURDENPC", PARAM="Burden (%)", BASE=table["USUBJID"].map(first), ANL01FL="Y")
    comparison = compare_arms(table, AnalysisPlan((EndpointPlan("BURDENPC", "none", primary=True),)))
    assert not [model for model in comparison.models if "formula" in model]
    assert {name for name, _ in comparison.absent} == {"primary.random_slope", "primary.ancova"}
    assert cell(comparison.results, "primary.descriptive", "n", visit="D00", arm="") == 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: pd.concat([table, table.iloc[[5]]]), "more than one row for patient P01, BURDENML, visit V1"),
        (lambda table: table.drop(columns="AVAL"), "analysis table: no column named 'AVAL'"),
        (lambda table: table.assign(AVAL=table["AVAL"].where(table.index != 3, np.inf)), "infinite .* P00.*visit V3"),
        (lambda table: table.assign(AVAL=table["AVAL"].where(table.index != 3, -1.0)), "−1 or less for patient P00"),
        (lambda table: table.assign(ADY=table["ADY"].where(table.index != 3)), "no study day for patient P00"),
        (lambda table: table.assign(TRT01P=table["TRT01P"].where(table.index != 3, "b")), "patient P00: in arms a, b"),
        (lambda table: table.assign(USUBJID=table["USUBJID"].where(table.index != 3)), "'USUBJID': empty in 1 row"),
        (lambda table: table.assign(AVAL="many"), "'many' is not a number"),
    ],
)
def test_faults_of_the_table_are_raised(analysis, change, message):
    with pytest.raises(StatisticsError, match=message):
        compare_arms(change(analysis), PLAN)


def test_unknown_covariate_and_reference(analysis):
    with pytest.raises(StatisticsError, match="no column named 'AGE'"):
        compare_arms(analysis, AnalysisPlan(PLAN.endpoints, ("age",)))
    with pytest.raises(StatisticsError, match="no arm named 'placebo'; expected one of a, b"):
        compare_arms(analysis, AnalysisPlan(PLAN.endpoints, reference_arm="placebo"))


def test_a_flag_other_than_y_leaves_a_record_out(analysis):
    flagged = analysis.assign(ANL01FL=np.where(analysis["AVISIT"] == "V3", "N", "Y"))
    comparison = compare_arms(flagged, PLAN)
    assert comparison.models[0]["left_out"] == {"records not flagged for analysis (ANL01FL)": "24"}
    assert set(comparison.results.query("visit == 'V3'")["analysis_id"]) == {"primary.missingness"}


def test_visits_before_baseline_are_no_follow_up(analysis):
    early = analysis.assign(ADY=analysis["ADY"].where(analysis["AVISIT"] != "V1", -20.0))
    assert set(compare_arms(early, PLAN).results.query("analysis_id == 'primary.ancova'")["visit"]) == {"V2", "V3"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"endpoints": (EndpointPlan("A"),)}, "0 marked primary"),
        ({"endpoints": (EndpointPlan("A", primary=True), EndpointPlan("A"))}, "a parameter twice"),
        ({"alpha": 1.5}, "plan: alpha"),
        ({"min_patients_per_arm": 1}, "at least 2"),
    ],
)
def test_plans_that_do_not_hold_together(settings, message):
    with pytest.raises(StatisticsError, match=message):
        AnalysisPlan(**{"endpoints": PLAN.endpoints, **settings})


def test_an_unknown_transform_is_refused():
    with pytest.raises(StatisticsError, match="transform 'sqrt'; expected 'log1p' or 'none'"):
        EndpointPlan("A", "sqrt")
