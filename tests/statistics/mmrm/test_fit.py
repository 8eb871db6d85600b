"""The MMRM: closed forms, invariances, groups and weights, fallbacks, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from trialscan.errors import StatisticsError
from trialscan.statistics import fit_mmrm
from trialscan.statistics.mmrm import FALLBACK
from trialscan.statistics.mmrm import moments as moments_module

FORMULA = "y ~ arm * visit"


def simulated(seed: int = 3, patients: int = 40, visits: int = 4, missing: float = 0.15) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    S = 0.5 ** np.abs(np.subtract.outer(np.arange(visits), np.arange(visits))) * np.outer(
        np.arange(1, visits + 1), np.arange(1, visits + 1)
    )
    rows = []
    for number in range(patients):
        arm = "ab"[number % 2]
        values = rng.multivariate_normal(np.arange(visits) * (1.0 if arm == "a" else 1.5), S)
        for visit in range(visits):
            if visit and rng.random() < missing:
                continue
            rows.append((f"P{number:02d}", arm, f"V{visit + 1}", values[visit], rng.uniform(0.5, 2)))
    return pd.DataFrame(rows, columns=["id", "arm", "visit", "y", "w"])


def fit(table: pd.DataFrame, formula: str = FORMULA, **settings):
    return fit_mmrm(table, formula, patient="id", visit="visit", **settings)


@pytest.fixture
def trial() -> pd.DataFrame:
    return simulated()


def test_complete_data_give_the_arms_means_and_pooled_covariance():
    table = simulated(missing=0)
    result = fit(table)
    wide = table.pivot_table(index=["arm", "id"], columns="visit", values="y")
    means = wide.groupby("arm").mean()
    assert_allclose(result.lsmeans(("arm", "visit"))["estimate"], means.to_numpy().ravel(), rtol=1e-10)
    within = wide - means.reindex(wide.index, level="arm")
    pooled = within.T @ within / (len(wide) - 2)
    assert_allclose(result.covariance.matrix, pooled, rtol=1e-8)
    for visit in ("V1", "V4"):
        a, b = (wide.loc[arm, visit] for arm in "ab")
        exact = stats.ttest_ind(b, a)
        row = result.lsmeans_differences("arm", "visit").loc[("b", visit)]
        assert_allclose([row["t"], row["df"], row["p"]], [exact.statistic, exact.df, exact.pvalue], rtol=1e-7)


def test_row_order_units_and_origin_carry_through(trial):
    first = fit(trial)
    second = fit(trial.sample(frac=1, random_state=1))
    assert first.beta.tobytes() == second.beta.tobytes()
    assert first.vcov.tobytes() == second.vcov.tobytes()
    third = fit(trial.assign(y=1e6 + 1000 * trial["y"]))
    assert_allclose(third.covariance.matrix, 1e6 * first.covariance.matrix, rtol=1e-7)
    assert_allclose(third.coefficients["se"], 1000 * first.coefficients["se"], rtol=1e-8)
    assert_allclose(third.coefficients["df"], first.coefficients["df"], rtol=1e-6)
    free = first.n_obs - len(first.names)
    assert_allclose(third.minus2loglik, first.minus2loglik + 2 * free * np.log(1000), rtol=1e-10)


def test_another_coding_of_the_same_means_changes_nothing(trial):
    usual, cells = fit(trial), fit(trial, "y ~ 0 + arm:visit")
    assert_allclose(cells.lsmeans(("arm", "visit")), usual.lsmeans(("arm", "visit")), rtol=1e-7)


@pytest.mark.parametrize("covariance", ["us", "cs", "ar1h"])
def test_memory_is_bounded_without_a_change_of_result(trial, covariance, monkeypatch):
    kept = fit(trial, covariance=covariance)
    monkeypatch.setattr(moments_module, "_KEPT_BYTES", 0)
    monkeypatch.setattr(moments_module, "_CHUNK_BYTES", 3 * 8 * (4 * 9) ** 2)
    chunked = fit(trial, covariance=covariance)
    assert_allclose(chunked.coefficients, kept.coefficients, rtol=1e-9)
    assert_allclose(chunked.minus2loglik, kept.minus2loglik, rtol=1e-13)


def test_a_covariance_an_arm_is_a_fit_an_arm(trial):
    together = fit(trial, "y ~ 0 + arm:visit", group="arm", df="satterthwaite")
    apart = [fit(trial[trial["arm"] == arm], "y ~ 0 + visit", df="satterthwaite") for arm in "ab"]
    assert_allclose(together.minus2loglik, sum(each.minus2loglik for each in apart), rtol=1e-12)
    for arm, alone in zip("ab", apart, strict=True):
        assert_allclose(together.covariance.matrices[arm], alone.covariance.matrix, rtol=1e-7)
        rows = together.lsmeans(("arm", "visit")).loc[arm]
        assert_allclose(rows[["estimate", "se", "df"]], alone.lsmeans("visit")[["estimate", "se", "df"]], rtol=1e-7)
    with pytest.raises(StatisticsError, match="one for each of a, b"):
        _ = together.covariance.matrix


def test_equal_weights_change_only_the_variance(trial):
    plain, weighted = fit(trial), fit(trial.assign(w=4.0), weights="w")
    assert_allclose(weighted.coefficients, plain.coefficients, rtol=1e-8)
    assert_allclose(weighted.covariance.matrix, 4 * plain.covariance.matrix, rtol=1e-8)
    assert_allclose(weighted.minus2loglik, plain.minus2loglik, rtol=1e-12)


def test_weights_are_generalised_least_squares(trial):
    """With one visit a patient the model is weighted least squares."""
    rows = trial[trial["visit"] == "V1"]
    result = fit(rows, "y ~ arm", weights="w")
    X = np.column_stack([np.ones(len(rows)), rows["arm"] == "b"]).astype(float)
    W = np.diag(rows["w"])
    assert_allclose(result.beta, np.linalg.solve(X.T @ W @ X, X.T @ W @ rows["y"]), rtol=1e-10)
    rest = rows["y"] - X @ result.beta
    assert_allclose(result.covariance.matrix[0, 0], rest @ W @ rest / (len(rows) - 2), rtol=1e-8)
    assert_allclose(result.coefficients["df"], len(rows) - 2, rtol=1e-8)


def test_sandwiches_grow_with_their_correction_and_match_by_hand(trial):
    errors = [fit(trial, sandwich=kind).coefficients["se"].to_numpy() for kind in ("CR0", "CR2", "CR3")]
    assert (errors[0] < errors[1]).all()
    assert (errors[1] < errors[2]).all()
    rows = trial[trial["visit"] == "V1"]
    X = np.column_stack([np.ones(len(rows)), rows["arm"] == "b"]).astype(float)
    bread = np.linalg.inv(X.T @ X)
    rest = rows["y"].to_numpy() - X @ (bread @ X.T @ rows["y"])
    leverage = np.einsum("ia,ab,ib->i", X, bread, X)
    for kind, power in (("CR0", 0.0), ("CR2", -0.5), ("CR3", -1.0)):
        scores = X * (rest * (1 - leverage) ** power)[:, None]
        expected = np.sqrt(np.diag(bread @ scores.T @ scores @ bread))
        assert_allclose(fit(rows, "y ~ arm", sandwich=kind).coefficients["se"], expected, rtol=1e-9)


def test_expected_information_differs_and_agrees_without_missing_visits(trial):
    observed, expected = fit(trial), fit(trial, information="expected")
    assert not np.allclose(observed.coefficients["df"], expected.coefficients["df"], rtol=1e-6)
    assert "expected information" in expected.inference.method.description
    complete = simulated(missing=0)
    assert_allclose(
        fit(complete, information="expected").coefficients["df"], fit(complete).coefficients["df"], rtol=1e-7
    )


def test_a_structure_that_cannot_be_fitted_gives_way_and_says_why(trial):
    apart = trial[~((trial["visit"] == "V4") & (trial["id"] < "P20"))]
    apart = apart[~((apart["visit"] == "V1") & (apart["id"] >= "P20"))]
    with pytest.raises(StatisticsError, match="no patient was seen at both V1 and V4"):
        fit(apart)
    result = fit(apart, covariance=FALLBACK)
    assert result.covariance.structure != "us"
    assert result.convergence.fallback[0].startswith("us: covariance us: no patient was seen at both V1 and V4")


def test_joint_test_by_names_matrix_and_combinations(trial):
    result = fit(trial)
    names = [name for name in result.names if ":" in name]
    by_name = result.joint_test(names)
    matrix = np.eye(len(result.names))[[result.names.index(name) for name in names]]
    assert by_name == result.joint_test(matrix) == result.joint_test({name: {name: 1.0} for name in names})
    doubled = result.joint_test(np.vstack([matrix, matrix.sum(axis=0)]))
    assert_allclose(doubled.statistic, by_name.statistic)
    assert by_name.numerator_df == 3
    single = result.joint_test([names[0]])
    row = result.coefficients.loc[names[0]]
    assert_allclose([single.statistic, single.denominator_df, single.p], [row["t"] ** 2, row["df"], row["p"]])
    with pytest.raises(StatisticsError, match="no coefficient named nobody"):
        result.joint_test(["nobody"])


def test_visits_are_ordered_as_declared(trial):
    numbered = trial.assign(visit=trial["visit"].map({"V1": "W2", "V2": "W10", "V3": "W18", "V4": "W26"}))
    assert fit(numbered.sample(frac=1, random_state=2)).covariance.visits == ("W2", "W10", "W18", "W26")
    renamed = trial.assign(visit=trial["visit"].map({"V1": "week 2", "V2": "week 10", "V3": "week 18", "V4": "end"}))
    with pytest.raises(StatisticsError, match="no declared order of"):
        fit(renamed)
    order = ["week 2", "week 10", "week 18", "end"]
    declared = fit(renamed, covariance="ar1h", visit_order=order)
    assert declared.covariance.visits == tuple(order)
    assert_allclose(declared.minus2loglik, fit(trial, covariance="ar1h").minus2loglik, rtol=1e-12)
    categorical = renamed.assign(visit=pd.Categorical(renamed["visit"], order))
    assert_allclose(fit(categorical, covariance="ar1h").minus2loglik, declared.minus2loglik, rtol=1e-14)
    with pytest.raises(StatisticsError, match="unknown visit end"):
        fit(renamed, visit_order=order[:3])
    with pytest.raises(StatisticsError, match="visit week 30: no patient of any arm has an outcome"):
        fit(renamed, visit_order=[*order, "week 30"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: pd.concat([t, t.iloc[[5]]]), "more than one row for patient P01, visit V3"),
        (lambda t: t.assign(y=1.0), "the outcome is 1 in every row"),
        (lambda t: t.assign(y=t["y"].where(t.index != 0, np.inf)), "infinite value for patient P00, visit V1"),
        (lambda t: t[t["id"] == "P01"], "1 patient with an outcome"),
        (lambda t: t.assign(arm="a"), "column 'arm': a in every row"),
        (lambda t: t.assign(arm=t["arm"].where(t["id"] != "P02")), "column 'arm': missing in . of 1.. .*patient P02"),
        (lambda t: t.assign(y=np.nan), "no patient of any arm has an outcome"),
        (lambda t: t.drop(columns="y"), "no column named 'y'"),
        (lambda t: t.assign(y=t["y"] * 1e200), "too large a value for patient P00, visit V1"),
        (lambda t: t.assign(y=t["y"] + 0j), "column 'y': complex numbers"),
        (lambda t: pd.concat([t, t[["y"]]], axis=1), "more than one column named 'y'"),
        (lambda t: t[~((t["arm"] == "b") & (t["visit"] == "V3"))], "no outcome has arm b with visit V3"),
    ],
)
def test_faults_of_the_table_are_named(trial, change, words):
    with pytest.raises(StatisticsError, match=words):
        fit(change(trial))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"covariance": "spatial"}, "no such structure"),
        ({"covariance": ()}, "an empty list"),
        ({"df": "between-within"}, "one of kenward-roger"),
        ({"information": "average"}, "one of observed, expected"),
        ({"sandwich": "HC1"}, "one of None, CR0"),
        ({"alpha": 1.5}, "not a probability"),
        ({"weights": "zero"}, "no positive weight for patient P00, visit V1"),
        ({"group": "w"}, "changes within a patient: P00, P01"),
    ],
)
def test_options_that_are_not_offered_are_named(trial, settings, words):
    with pytest.raises(StatisticsError, match=words):
        fit(trial.assign(zero=0.0), **settings)


def test_a_number_coded_as_a_factor_is_one_in_the_grid(trial):
    table = trial.assign(site=trial["id"].str[1:].astype(int) % 3)
    table["centre"] = "c" + table["site"].astype(str)
    as_number, as_text = fit(table, "y ~ arm * visit + C(site)"), fit(table, "y ~ arm * visit + centre")
    assert_allclose(as_number.lsmeans("arm"), as_text.lsmeans("arm"), rtol=1e-9)
    proportional = [each.lsmeans("arm", weights="proportional") for each in (as_number, as_text)]
    assert_allclose(*proportional, rtol=1e-9)
    assert_allclose(as_number.lsmeans("site"), as_text.lsmeans("centre"), rtol=1e-9)
    assert list(as_number.lsmeans("site").index) == [0, 1, 2]
    assert as_number.lsmeans("arm").attrs["averaging"] == "averaged over visit, site with equal weights"


def test_lsmeans_say_what_they_average_over(trial):
    rng = np.random.default_rng(0)
    ids = sorted(trial["id"].unique())
    site = dict(zip(ids, rng.choice(["north", "south"], len(ids), p=[0.8, 0.2]), strict=True))
    age = dict(zip(ids, rng.uniform(40, 80, len(ids)), strict=True))
    table = trial.assign(site=trial["id"].map(site), age=trial["id"].map(age))
    result = fit(table, "y ~ arm * visit + site + age")
    equal, proportional = result.lsmeans("arm"), result.lsmeans("arm", weights="proportional")
    assert equal.attrs["averaging"].startswith("averaged over visit, site with equal weights; at age = ")
    assert not np.allclose(equal["estimate"], proportional["estimate"])
    older = result.lsmeans("arm", at={"age": 80.0})["estimate"] - result.lsmeans("arm", at={"age": 70.0})["estimate"]
    assert_allclose(older, 10 * result.coefficients.loc["age", "estimate"], rtol=1e-9)
    with pytest.raises(StatisticsError, match="column 'age': numbers; expected a factor"):
        result.lsmeans("age")
    with pytest.raises(StatisticsError, match="no column named 'w'"):
        result.lsmeans("w")
    with pytest.raises(StatisticsError, match="reference 'c'"):
        result.lsmeans_differences("arm", reference="c")


@pytest.fixture
def lacking(trial):
    """No outcome of arm b at the last visit."""
    return trial[~((trial["arm"] == "b") & (trial["visit"] == "V4"))]


def test_an_empty_cell_leaves_the_others_as_a_model_of_the_cells_has_them(lacking):
    result = fit(lacking, drop_aliased=True)
    cells = lacking.assign(cell=lacking["arm"] + lacking["visit"])
    separate = fit(cells, "y ~ 0 + cell").coefficients
    means = result.lsmeans(("arm", "visit"))
    assert means.attrs["not_estimable"] == (("b", "V4"),)
    assert means.loc[("b", "V4")].isna().all()
    known = means.drop(index=[("b", "V4")])
    assert [f"cell[{arm}{visit}]" for arm, visit in known.index] == list(separate.index)
    assert_allclose(known, separate, rtol=1e-7)


def test_what_an_empty_cell_leaves_open_is_told(lacking):
    with pytest.raises(StatisticsError, match=r"aliased column\(s\) arm\[T.b\]:visit\[T.V4\]"):
        fit(lacking)
    result = fit(lacking, drop_aliased=True)
    assert result.design.aliased == ("arm[T.b]:visit[T.V4]",)
    assert result.coefficients.loc["arm[T.b]:visit[T.V4]"].isna().all()
    assert len(result.estimated_names) == len(result.beta) == len(result.vcov) == 7
    differences = result.lsmeans_differences("arm", "visit")
    assert differences.attrs["not_estimable"] == (("b", "V4"),)
    assert result.lsmeans("arm").attrs["not_estimable"] == ("b",)
    with pytest.raises(StatisticsError, match="1 of 2 combinations are not estimable"):
        result.joint_test(["arm[T.b]", "arm[T.b]:visit[T.V4]"])


def test_a_covariate_that_repeats_the_arm_leaves_no_mean_of_an_arm(trial):
    result = fit(trial.assign(site=trial["arm"].map({"a": "x", "b": "z"})), "y ~ arm + site + visit", drop_aliased=True)
    assert result.lsmeans("arm")["estimate"].isna().all()
    assert result.lsmeans("visit")["estimate"].notna().all()
    assert result.lsmeans_differences("arm")["estimate"].isna().all()


def test_a_contrast_without_weights_is_refused(trial):
    with pytest.raises(StatisticsError, match="contrast nothing: every weight is zero"):
        fit(trial).contrasts({"nothing": {}})


def test_one_combination_has_satterthwaites_degrees_of_freedom(trial):
    """Kenward and Roger's general formula divides by zero at 2, where one combination needs none of it."""
    first, second = fit(trial, covariance="adh"), fit(trial, covariance="adh", df="satterthwaite")
    assert_allclose(first.coefficients["df"], second.coefficients["df"], rtol=1e-12)
    single = first.joint_test(["arm[T.b]"])
    row = first.coefficients.loc["arm[T.b]"]
    assert_allclose(
        [single.statistic, single.denominator_df, single.p], [row["t"] ** 2, row["df"], row["p"]], rtol=1e-9
    )


def test_an_adjusted_covariance_that_is_none_is_no_result():
    table = simulated(25, patients=7, missing=0.3)
    with pytest.raises(StatisticsError, match="Kenward–Roger: the adjusted covariance of the estimates is not pos"):
        fit(table, covariance="csh")
    assert fit(table, covariance="csh", df="satterthwaite").coefficients["se"].notna().all()
    path = fit(table, covariance=("csh", "cs"))
    assert path.covariance.structure == "cs"
    assert path.convergence.fallback[0].startswith("csh: Kenward–Roger: the adjusted covariance")


def test_a_joint_test_without_a_matching_f_is_refused():
    result = fit(simulated(4, patients=5, missing=0.3), covariance="csh")
    with pytest.raises(StatisticsError, match="Kenward–Roger's F for 3 combinations has no mean"):
        result.joint_test("arm:visit")


def test_a_search_that_leaves_the_floats_ends_without_a_warning():
    with pytest.raises(StatisticsError):
        fit(simulated(0, patients=5, missing=0.3), covariance="adh")
