"""Tests of whole terms against R's type III tables, recorded, and against what they must equal."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from trialscan.errors import StatisticsError
from trialscan.statistics import fit_mmrm, fit_random_slope

FORMULA = "FEV1 ~ FEV1_BL * AVISIT + RACE + SEX + ARMCD * AVISIT"
# anova(lmer(FEV1 ~ FEV1_BL * AVISIT + RACE + SEX + ARMCD * AVISIT + (1 | USUBJID)), type = 3), lmerTest 3.1.3 and
# pbkrtest 0.5.2: F, numerator and denominator df, p by Kenward–Roger; F and denominator df by Satterthwaite. lmer
# stops where its variances are good to six digits.
LMER = {
    "FEV1_BL": (25.139729752073, 1, 192.157204473, 1.20754954808e-06, 25.177016879761, 201.771484639),
    "AVISIT": (8.897446831414, 3, 418.451778481, 9.97811926739e-06, 8.917978182668, 424.526832103),
    "RACE": (25.549428044536, 2, 179.891426914, 1.71160136394e-10, 25.586605257606, 189.205431892),
    "SEX": (0.623430826097, 1, 178.614784801, 4.308222312e-01, 0.624363342384, 187.937574661),
    "ARMCD": (32.888322413112, 1, 178.614736340, 4.09448872187e-08, 32.936146050038, 187.937525005),
    "FEV1_BL:AVISIT": (0.152528595126, 3, 418.621569984, 9.28042282521e-01, 0.152970031780, 424.475453414),
    "AVISIT:ARMCD": (0.313418217862, 3, 408.911663963, 8.15687798784e-01, 0.314226830250, 415.689180357),
}


@pytest.fixture(scope="module")
def fev(real_data):
    return pd.read_csv(real_data / "statistics" / "fev_data.csv")


def cs(table: pd.DataFrame, formula: str = FORMULA, **options):
    return fit_mmrm(table, formula, patient="USUBJID", visit="AVISIT", covariance="cs", **options)


def test_kenward_roger_tests_of_terms_are_pbkrtests(fev):
    result = cs(fev, information="expected")
    for term, theirs in LMER.items():
        test = result.joint_test(term)
        ours = (test.statistic, test.numerator_df, test.denominator_df)
        assert_allclose(ours, theirs[:3], rtol=5e-6)
        assert_allclose(test.p, theirs[3], rtol=1e-4)


def test_satterthwaite_tests_of_terms_are_lmertests(fev):
    result = cs(fev, df="satterthwaite")
    for term, theirs in LMER.items():
        test = result.joint_test(term)
        assert_allclose((test.statistic, test.denominator_df), theirs[4:], rtol=5e-6)


def test_the_table_of_terms_holds_the_joint_tests_in_the_formulas_order(fev):
    result = cs(fev)
    table = result.term_tests()
    assert list(table.index) == ["FEV1_BL", "AVISIT", "RACE", "SEX", "ARMCD", "FEV1_BL:AVISIT", "ARMCD:AVISIT"]
    for term, row in table.iterrows():
        test = result.joint_test(term)
        assert (row["f"], row["numerator_df"], row["denominator_df"], row["p"]) == (
            test.statistic,
            test.numerator_df,
            test.denominator_df,
            test.p,
        )


def test_a_factors_test_is_that_its_lsmeans_are_equal(fev):
    """With two arms: the squared t of their difference averaged over visits, whatever the coding."""
    for formula in ("FEV1 ~ ARMCD * AVISIT", "FEV1 ~ C(ARMCD, contr.treatment('TRT')) * AVISIT"):
        result = cs(fev, formula)
        difference = result.lsmeans_differences("ARMCD").iloc[0]
        test = result.joint_test(result.term_tests().index[0])
        assert_allclose([test.statistic, test.denominator_df], [difference["t"] ** 2, difference["df"]], rtol=1e-8)


def test_the_highest_interaction_is_the_test_of_its_coefficients(trial):
    result = fit_random_slope(trial, "y ~ arm * day", patient="id", time="day")
    names = [name for name in result.names if ":" in name]
    for term in ("arm:day", "day:arm"):
        test, plain = result.joint_test(term), result.joint_test(names)
        assert_allclose([test.statistic, test.denominator_df], [plain.statistic, plain.denominator_df], rtol=1e-9)


def test_numbers_of_several_columns_are_one_term(fev):
    test = cs(fev, "FEV1 ~ poly(FEV1_BL, 2) + `SEX` + ARMCD").joint_test("poly(FEV1_BL, 2)")
    assert test.numerator_df == 2


def test_a_name_that_is_no_term_is_a_coefficient_or_unknown(fev):
    result = cs(fev, "FEV1 ~ SEX + ARMCD")
    assert result.joint_test("SEX[T.Male]") == result.joint_test(["SEX[T.Male]"])
    with pytest.raises(StatisticsError, match="no coefficient named RACE"):
        result.joint_test("RACE")


def test_terms_are_not_averaged_over_cells_without_data(fev):
    empty = fev[~((fev["ARMCD"] == "TRT") & (fev["AVISIT"] == "VIS4"))]
    result = cs(empty, "FEV1 ~ ARMCD * AVISIT", drop_aliased=True)
    with pytest.raises(StatisticsError, match=r"aliased column\(s\) ARMCD\[T.TRT\]:AVISIT\[T.VIS4\]"):
        result.joint_test("ARMCD")
    assert result.joint_test(["ARMCD[T.TRT]"]).numerator_df == 1


def test_contrasts_take_matrices_and_names(fev):
    result = cs(fev, "FEV1 ~ SEX + ARMCD")
    by_name = result.contrasts({"sex": {"SEX[T.Male]": 1.0}, "arm": {"ARMCD[T.TRT]": 1.0}})
    by_row = result.contrasts(np.eye(3)[1:])
    assert list(by_row.index) == ["row 1", "row 2"]
    assert np.array_equal(by_row, by_name)
    assert np.array_equal(result.contrasts(["SEX[T.Male]", "ARMCD[T.TRT]"]), by_name)
    assert np.array_equal(result.contrast({"SEX[T.Male]": 1.0}), by_name.iloc[:1])


def test_a_result_says_what_it_is(fev):
    said = repr(cs(fev, "FEV1 ~ ARMCD"))
    assert said.startswith("<MixedModelResult: 'FEV1 ~ ARMCD', homogeneous compound symmetry covariance, 197 patients")
    assert "Kenward–Roger, natural parameters, observed information" in said
