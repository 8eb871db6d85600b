"""Multiple imputation: Rubin's rules against published data, the draws against their distribution."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from statsmodels.regression.linear_model import OLS

from trialscan.errors import StatisticsError
from trialscan.statistics import fit_mmrm
from trialscan.statistics.imputation.model import ImputationModel, Parameters
from trialscan.statistics.imputation.rubin import combine, draw

# Five imputed means and standard errors of the fitness data: SAS/STAT user's guide, the MIANALYZE procedure, example
# "Reading means and standard errors", 31 patients. Expected: mean, √T, and df as R's mice (`barnard.rubin`) has them.
FITNESS = [
    (
        [47.0120, 47.2407, 47.4995, 47.1485, 47.0042],
        [0.95984, 0.93540, 1.00766, 0.95439, 0.96528],
        (47.18098, 0.990261900075, 26.298679374916),
    ),
    (
        [10.4441, 10.5040, 10.5922, 10.5279, 10.4913],
        [0.28520, 0.26661, 0.26302, 0.26405, 0.27275],
        (10.5119, 0.276910081976, 26.503288165785),
    ),
    (
        [171.216, 171.244, 171.909, 171.146, 172.072],
        [1.59910, 1.75638, 1.85795, 1.75011, 1.84807],
        (171.5174, 1.82860089981, 25.46290748136),
    ),
]


@pytest.mark.parametrize(("means", "errors", "expected"), FITNESS)
def test_rubins_rules_on_a_published_example(means, errors, expected):
    found = combine(np.array(means), np.array(errors) ** 2, complete_df=30)
    assert_allclose([found.estimate, found.se, found.df], expected, rtol=1e-11)


def test_degrees_of_freedom_at_their_limits():
    same = combine(np.ones(5), np.full(5, 4.0), complete_df=20)
    assert_allclose([same.se, same.df], [2.0, 20 * 21 / 23])
    large = combine(np.array([0.0, 1.0, 2.0]), np.ones(3), complete_df=1e12)
    share = (4 / 3) / (1 + 4 / 3)
    assert_allclose(large.df, 2 / share**2, rtol=1e-9)


def test_a_draw_has_the_conditional_distribution():
    S = np.array([[2.0, 1.0, 0.5], [1.0, 3.0, 0.7], [0.5, 0.7, 1.5]])
    y = np.array([[5.0, np.nan, np.nan], [np.nan, np.nan, np.nan], [1.0, 2.0, 3.0]])
    means = np.array([[4.0, 7.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    parameters = Parameters(np.zeros(0), S)
    centre = draw(y, means, parameters, np.zeros(y.shape))
    assert_allclose(centre, [[5.0, 7.5, 1.25], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    factor = np.stack([draw(y, means, parameters, np.tile(unit, (3, 1))) - centre for unit in np.eye(3)], axis=2)
    within = S[1:, 1:] - np.outer(S[1:, 0], S[0, 1:]) / S[0, 0]
    assert_allclose(factor[0, 1:] @ factor[0, 1:].T, within, atol=1e-12)
    assert_allclose(factor[1] @ factor[1].T, S, atol=1e-12)
    assert not factor[2].any()


def test_a_resampled_model_is_the_fit_to_those_patients(trial, analyse):
    problem = analyse(trial(), strategies=["MAR"]).problem
    model = ImputationModel(problem.kept.design, "us")
    chosen = tuple(np.random.default_rng(3).choice(problem.patients, 36))
    found = model.resampled(chosen)
    table = trial()
    rows = pd.concat([table[table["id"] == who].assign(id=f"{place}") for place, who in enumerate(chosen)])
    direct = fit_mmrm(rows, "y ~ base * visit + arm * visit", patient="id", visit="visit")
    assert_allclose(found.S, direct.covariance.matrix, rtol=1e-6)
    names = list(direct.names)
    at = [names.index(name) for name in problem.kept.design.names]
    assert_allclose(found.beta, direct.beta[at], atol=1e-7)


@pytest.fixture(scope="module")
def drawn(trial, analyse):
    return analyse(trial(), strategies=["MAR", "JR"], method="rubin", imputations=100, seed=5)


def test_each_imputation_is_analysed_by_least_squares(drawn):
    estimates = drawn.estimates["JR"]
    fits = [OLS(outcome[:, 2], drawn.problem.ancova.X).fit() for outcome in estimates.draws]
    pooled = combine(
        np.array([fit.params[1] for fit in fits]), np.array([fit.bse[1] ** 2 for fit in fits]), fits[0].df_resid
    )
    row = drawn.differences.loc[("JR", "act", "V3")]
    assert_allclose(row[["estimate", "se", "df"]], [pooled.estimate, pooled.se, pooled.df], rtol=1e-9)
    assert list(drawn.differences.columns) == ["estimate", "se", "df", "t", "p", "lower", "upper"]


def test_the_mean_over_imputations_is_near_conditional_mean_imputation(trial, analyse, drawn):
    """Within four Monte Carlo errors; the standard errors of MAR agree roughly, being two estimates of one thing."""
    still = analyse(trial(), strategies=["MAR", "JR"])
    for strategy in ("MAR", "JR"):
        values = np.stack([drawn.problem.ancova.estimates(each) for each in drawn.estimates[strategy].draws])
        monte_carlo = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        difference = values.mean(axis=0) - still.estimates[strategy].values
        observed = monte_carlo < 1e-12
        assert np.all(np.abs(difference[~observed]) < 4 * monte_carlo[~observed])
        assert_allclose(difference[observed], 0, atol=1e-9)
    ratio = drawn.differences.loc["MAR"]["se"] / still.differences.loc["MAR"]["se"]
    assert ratio.between(0.8, 1.2).all()


def test_the_seed_decides_every_byte(trial, analyse, drawn):
    settings = {"strategies": ["JR"], "method": "rubin", "imputations": 100, "seed": 5}
    again = analyse(trial().sample(frac=1, random_state=2), **settings)
    assert again.differences.loc["JR"].to_csv() == drawn.differences.loc["JR"].to_csv()
    other = analyse(trial(), **(settings | {"seed": 6, "imputations": 20}))
    assert not np.allclose(other.differences.loc["JR"], drawn.differences.loc["JR"])


def test_samples_without_a_fit_are_replaced_up_to_a_tenth(trial, analyse, monkeypatch):
    calls = iter(range(10_000))
    fitted = ImputationModel.resampled

    def failing(model, patients):
        return None if next(calls) == 3 else fitted(model, patients)

    monkeypatch.setattr(ImputationModel, "resampled", failing)
    result = analyse(trial(), strategies=["MAR"], method="rubin", imputations=10)
    assert (result.n_redrawn, result.n_refits) == (1, 11)
    monkeypatch.setattr(ImputationModel, "resampled", lambda *_: None)
    with pytest.raises(StatisticsError, match="2 samples of the patients to which the imputation model could not be"):
        analyse(trial(), strategies=["MAR"], method="rubin", imputations=10)
