"""The second path of an analysis of covariance: agrees when it should, and tells when it does not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trialscan.statistics import AnalysisPlan, EndpointPlan, compare_arms
from trialscan.statistics.agreement import agreement
from trialscan.statistics.ancova_check import check_ancova

PLAN = AnalysisPlan((EndpointPlan("BURDENML", primary=True),), covariates=("site", "age"))


@pytest.fixture
def with_covariates(analysis):
    number = analysis["USUBJID"].str[1:].astype(int)
    return analysis.assign(SITE="S" + (number % 3).astype(str), AGE=40 + (number * 7) % 23)


@pytest.mark.parametrize("transform", ["log1p", "none"])
def test_every_ancova_is_solved_twice_and_agrees(with_covariates, transform):
    plan = replace(PLAN, endpoints=(EndpointPlan("BURDENML", transform, primary=True),))
    comparison = compare_arms(with_covariates, plan)
    checks = [model["independent_check"] for model in comparison.models if model["analysis_id"] == "primary.ancova"]
    assert len(checks) == 3
    for check in checks:
        assert check["verdict"] == "agrees"
        assert check["effect_difference_se"] < 1e-10
        assert check["se_difference"] < 1e-10
        assert check["p_difference"] < 1e-9
    assert (comparison.agreement.agreeing, comparison.agreement.total) == (4, 4)
    assert str(comparison.agreement).startswith("independent check: 4 of 4 fits agree (statsmodels MixedLM")
    assert "Householder QR" in str(comparison.agreement)


def test_three_arms_agree(with_covariates):
    third = with_covariates["USUBJID"].isin([f"P{number:02d}" for number in range(8, 16)])
    table = with_covariates.assign(TRT01P=with_covariates["TRT01P"].mask(third, "c"))
    models = compare_arms(table, replace(PLAN, reference_arm="b")).models
    assert agreement(models).others == ()
    assert agreement(models).agreeing == 4


def test_a_wrong_estimate_and_a_singular_table_are_told():
    rng = np.random.default_rng(2)
    arms = pd.Categorical(["a", "b"] * 10, categories=["a", "b"])
    patients = pd.DataFrame({"TRT01P": arms, "BASE": rng.normal(5, 1, 20), "AVAL": rng.normal(5, 1, 20)})
    means = pd.DataFrame({"estimate": [0.0, 9.0], "se": [0.3, 0.3], "p": [1.0, 0.5]}, index=["a", "b"])
    differences = pd.DataFrame({"estimate": [9.0], "se": [0.4], "p": [0.01]}, index=["b"])
    found = check_ancova(patients, (), means, differences, log=False)
    assert found.verdict == "differs"
    assert found.effect_difference_se > 1
    singular = patients.assign(BASE=1.0)
    assert check_ancova(singular, (), means, differences, log=False).verdict == "failed"


def test_fits_that_differ_are_named():
    check = {"software": "other", "verdict": "differs", "messages": ["slow"]}
    found = agreement([{"analysis_id": "primary.ancova", "visit": "V2", "independent_check": check}, {"x": 1}])
    assert str(found) == "independent check: 0 of 1 fits agree (other)"
    assert found.others == ("primary.ancova, visit V2 differs: other (slow)",)
    assert str(agreement([])) == "independent check: no fit to check"
