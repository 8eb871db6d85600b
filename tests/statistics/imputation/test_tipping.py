"""Delta adjustment against least squares and a jackknife made by hand, and where the conclusion turns."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.regression.linear_model import OLS

from trialscan.errors import StatisticsError
from trialscan.statistics.imputation import tipping_points
from trialscan.statistics.imputation.conditional import impute
from trialscan.statistics.imputation.model import ImputationModel
from trialscan.statistics.imputation.strategies import course

DELTAS = [-2.0, -1.0, 0.0, 1.0, 2.0]


@pytest.fixture(scope="module")
def result(trial, analyse):
    return analyse(trial(), strategies=["MAR", "JR"])


def by_hand(result, strategy: str, delta: float, shifted) -> tuple[float, float]:
    """Estimate and jackknife error at the last visit, delta added before every single least-squares fit."""
    problem, courses = result.problem, result.problem.kept.courses
    model = ImputationModel(problem.kept.design, "us")

    def estimate(parameters, kept) -> float:
        completed = impute(courses.y, course(strategy, courses.marginal(parameters.beta)), parameters.S)
        moved = completed + delta * (problem.missing & shifted[:, None])
        return float(OLS(moved[kept, -1], problem.ancova.X[kept]).fit().params[1])

    n = len(problem.patients)
    left = np.array([estimate(model.without(who), np.arange(n) != i) for i, who in enumerate(problem.patients)])
    return estimate(model.whole, np.ones(n, dtype=bool)), float(np.sqrt((n - 1) ** 2 / n * np.var(left, ddof=1)))


@pytest.mark.parametrize(("strategy", "shifted"), [("MAR", "non_reference"), ("JR", "all")])
def test_every_delta_is_the_jackknife_with_shifted_outcomes(result, strategy, shifted):
    (point,) = tipping_points(result, DELTAS, strategy=strategy, shifted=shifted)
    chosen = result.problem.arm_of != 0 if shifted == "non_reference" else np.ones(36, dtype=bool)
    for delta in (-2.0, 1.0):
        estimate, se = by_hand(result, strategy, delta, chosen)
        row = point.grid.loc[delta]
        assert_allclose([row["estimate"], row["se"]], [estimate, se], rtol=1e-9)
        assert_allclose(row["p"], 2 * stats.norm.sf(abs(estimate / se)), rtol=1e-9)
    plain = result.differences.loc[(strategy, "act", "V3")]
    assert_allclose(point.grid.loc[0.0, list(plain.index)], plain, rtol=1e-12)
    assert (point.visit, point.comparator) == ("V3", "ctl")
    assert point.n_shifted == (result.problem.missing[chosen, -1]).sum()


def test_the_tipping_delta_is_the_root_of_its_quadratic(result):
    (point,) = tipping_points(result, [-1.0, 20.0])
    assert point.tipping_delta is not None
    at = {delta: tipping_points(result, [delta, 99.0])[0].grid.loc[delta] for delta in (-1.0, 0.0, 1.0)}
    step = at[1.0]["estimate"] - at[0.0]["estimate"]
    V = [at[delta]["se"] ** 2 for delta in (-1.0, 0.0, 1.0)]
    z2 = stats.norm.isf(0.025) ** 2
    bend, tilt = (V[0] + V[2]) / 2 - V[1], (V[2] - V[0]) / 2
    start = at[0.0]["estimate"]
    roots = np.roots([step**2 - z2 * bend, 2 * start * step - z2 * tilt, start**2 - z2 * V[1]])
    inside = [root for root in roots.real if -1 <= root <= 20]
    assert_allclose(point.tipping_delta, min(inside, key=abs), rtol=1e-8)
    again = tipping_points(result, [point.tipping_delta, 99.0])[0].grid
    assert_allclose(again["p"].iloc[0], 0.05, rtol=1e-7)
    assert "significant at delta 0 and no longer beyond" in point.note
    assert len(inside) == 2
    assert "crosses alpha at" in point.note


def test_where_the_conclusion_does_not_turn(result, trial, analyse):
    (point,) = tipping_points(result, [-0.2, 0.1])
    assert point.tipping_delta is None
    assert point.note == ("the difference is significant at delta 0; a tipping point is not reached in [-0.2, 0.1]")
    table = trial()
    nobody = analyse(table.assign(y=table["y"].fillna(table["base"]), event=None), strategies=["MAR"])
    (point,) = tipping_points(nobody, DELTAS)
    assert point.tipping_delta is None
    assert "no outcome at V3 is imputed" in point.note
    assert point.grid["estimate"].nunique() == 1


def test_rubins_rules_tip_as_well_and_shift_by_the_same_slope(trial, analyse, result):
    drawn = analyse(trial(), strategies=["MAR"], method="rubin", imputations=20)
    (point,) = tipping_points(drawn, [-1.0, 0.0, 8.0])
    slopes = [
        each[0].grid["estimate"].diff().iloc[1]
        for each in (tipping_points(drawn, [0.0, 1.0]), tipping_points(result, [0.0, 1.0]))
    ]
    assert_allclose(slopes[0], slopes[1], rtol=1e-9)
    assert point.tipping_delta is not None
    at = tipping_points(drawn, [point.tipping_delta, 99.0])[0].grid.iloc[0]
    assert_allclose(at["p"], 0.05, rtol=1e-7)
    assert_allclose(at["p"], 2 * stats.t.sf(abs(at["t"]), at["df"]))


@pytest.mark.parametrize(
    ("deltas", "settings", "words"),
    [
        ([0.0], {}, "deltas: .*two or more rising"),
        ([1.0, 0.0], {}, "two or more rising"),
        ([0.0, np.inf], {}, "two or more rising"),
        (DELTAS, {"strategy": "CR"}, "strategy 'CR': not imputed; expected one of MAR, JR"),
        (DELTAS, {"visit": "V9"}, "visit 'V9': not known; expected one of V1, V2, V3"),
        (DELTAS, {"shifted": "some"}, "shifted: 'some'"),
    ],
)
def test_faults_are_named(result, deltas, settings, words):
    with pytest.raises(StatisticsError, match=words):
        tipping_points(result, deltas, **settings)
