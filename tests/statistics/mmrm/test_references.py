"""The MMRM against R's mmrm and emmeans, and against SAS PROC MIXED, recorded at full precision."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from reference_fits import COLUMNS, OPTIONS, STRUCTURES, TIGHT, fit_like, reference_fit, table

from trialscan.statistics import fit_mmrm


def tolerance(fit: dict) -> float:
    """1e-6, or what R itself is good for where its gradient is not small."""
    return 1e-6 if fit["reml"]["max_abs_grad"] < TIGHT else 5e-5


each_table = pytest.mark.parametrize("name", ["fev", "orthodont"])
each_structure = pytest.mark.parametrize("structure", STRUCTURES)


@each_table
@each_structure
@pytest.mark.parametrize("reml", [True, False])
def test_likelihood_estimates_and_covariance(name, structure, reml, real_data):
    theirs = reference_fit(real_data, name, structure)["reml" if reml else "ml"]
    result = fit_like(real_data, name, structure, reml=reml)
    assert (result.n_obs, result.n_patients) == (theirs["n_obs"], theirs["n_subjects"])
    assert abs(result.minus2loglik - theirs["minus2loglik"]) < 1e-6
    loose = 1 if theirs["max_abs_grad"] < TIGHT else 50
    assert_allclose(result.beta, list(theirs["beta"].values()), rtol=1e-6 * loose)
    assert_allclose(result.covariance.matrix, theirs["varcor"], rtol=2e-5 * loose)
    assert result.convergence.relative_gradient < 1e-12
    assert min(result.convergence.hessian_eigenvalues) > 0


@each_table
@each_structure
@pytest.mark.parametrize("method", OPTIONS)
def test_inference_lsmeans_contrasts_and_joint_tests(name, structure, method, real_data):
    fit = reference_fit(real_data, name, structure)
    candidates = [*fit["inference"], fit["sandwich"]]
    theirs = next(
        each
        for each in candidates
        if each["vcov_method"] == method and each["df_method"] in ("Satterthwaite", "Kenward-Roger")
    )
    result = fit_like(real_data, name, structure, **OPTIONS[method])
    close = tolerance(fit)

    def agree(table: pd.DataFrame, rows: list[dict], keys: dict[str, str]) -> None:
        for column, key in keys.items():
            rtol = max(close, 1e-5) if column == "df" else close
            atol = close * float(table["se"].max()) if column in {"lower", "upper"} else 0.0
            assert_allclose(table[column], [row[key] for row in rows], rtol=rtol, atol=atol, err_msg=column)

    coefficients = theirs["coefficients"]
    agree(result.coefficients, coefficients, {"estimate": "estimate", "se": "se", "df": "df"})
    arm, visit = COLUMNS[name]["arm"], COLUMNS[name]["visit"]
    emmeans = {"estimate": "emmean", "se": "SE", "df": "df", "lower": "lower.CL", "upper": "upper.CL"}
    means = result.lsmeans((arm, visit)).loc[[(row[arm], str(row[visit])) for row in theirs["lsmeans"]]]
    agree(means, theirs["lsmeans"], emmeans)
    contrasts = theirs["contrasts"]
    keys = [(row["contrast"].split(" - ")[0], str(row[visit])) for row in contrasts]
    reference_arm = contrasts[0]["contrast"].split(" - ")[1]
    found = result.lsmeans_differences(arm, visit, reference=reference_arm).loc[keys]
    agree(found, contrasts, emmeans | {"estimate": "estimate"})
    joint = theirs["joint_test"]
    names = [row["name"] for row in coefficients]
    test = result.joint_test([result.names[names.index(term)] for term in joint["coefs"]])
    assert test.numerator_df == joint["num_df"]
    assert_allclose([test.statistic, test.p], [joint["f_stat"], joint["p_val"]], rtol=close)
    assert_allclose(test.denominator_df, joint["denom_df"], rtol=max(close, 1e-5))


@pytest.mark.parametrize("structure", ["us", "csh", "toeph", "ar1"])
@pytest.mark.parametrize(("file", "df"), [("kr", "kenward-roger"), ("kr1", "kenward-roger-linear")])
def test_kenward_roger_in_natural_parameters_is_sas(structure, file, df, real_data):
    sas = pd.read_csv(real_data / "statistics" / "sas" / f"{file}_{structure}.csv").iloc[0]
    data = pd.read_csv(real_data / "statistics" / "fev_data.csv")
    result = fit_mmrm(data, "FEV1 ~ ARMCD", patient="USUBJID", visit="AVISIT", covariance=structure, df=df)
    row = result.coefficients.loc["ARMCD[T.TRT]"]
    assert_allclose(row["estimate"], sas["Estimate"], rtol=5e-5)
    assert_allclose(row["se"], sas["StdErr"], rtol=2e-4)
    assert_allclose(row["df"], sas["DF"], rtol=5e-4)


def test_paired_visits_give_the_paired_t_test(real_data):
    """Natural parameters reproduce the exact test where there is one; mmrm's do not."""
    data = table(real_data, "orthodont")
    data = data[data["visit"].isin(["8", "14"])].assign(
        visit=lambda rows: pd.Categorical(rows["visit"].astype(str), ["8", "14"])
    )
    wide = data.pivot_table(index="Subject", columns="visit", values="distance", observed=True)
    change = wide["14"] - wide["8"]
    n = len(change)
    fit = fit_mmrm(data, "distance ~ visit", patient="Subject", visit="visit")
    row = fit.coefficients.loc["visit[T.14]"]
    assert_allclose(row["estimate"], change.mean(), rtol=1e-10)
    assert_allclose(row["se"], change.std() / np.sqrt(n), rtol=1e-10)
    assert_allclose(row["df"], n - 1, rtol=1e-8)
