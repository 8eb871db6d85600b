"""The score test of zero inflation against its definition, worked out number by number, and its level."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.discrete.discrete_model import NegativeBinomial, Poisson

from trialscan.statistics.further.zeros import zero_inflation


def log_chance(y, X, time, parameters, dispersed):
    """log P(y) of a zero-inflated count with weight theta / (1 + theta) at zero; parameters theta, beta[, alpha]."""
    theta, beta = parameters[0], parameters[1 : 1 + X.shape[1]]
    mean = time * np.exp(X @ beta)
    if dispersed:
        a = parameters[-1]
        chance = stats.nbinom.pmf(y, 1 / a, 1 / (1 + a * mean))
    else:
        chance = stats.poisson.pmf(y, mean)
    return np.log(((y == 0) * theta + chance) / (1 + theta))


def by_definition(y, X, time, parameters, dispersed):
    """U'I⁻¹U with numerical scores and the expected information summed over all counts."""

    def scores(counts):
        columns = []
        for index in range(len(parameters)):
            step = np.zeros(len(parameters))
            step[index] = 1e-5
            up, down = (log_chance(counts, X, time, parameters + sign * step, dispersed) for sign in (1, -1))
            columns.append((up - down) / 2e-5)
        return np.column_stack(columns)

    information = np.zeros((len(parameters), len(parameters)))
    for count in range(300 if dispersed else 60):
        counts = np.full(len(y), float(count))
        each = scores(counts)
        information += (each * np.exp(log_chance(counts, X, time, parameters, dispersed))[:, None]).T @ each
    total = scores(y).sum(axis=0)
    return float(total @ np.linalg.solve(information, total))


@pytest.mark.parametrize("dispersed", [False, True])
def test_score_statistic_by_its_definition(dispersed):
    rng = np.random.default_rng(3)
    n = 60
    X = np.column_stack([np.ones(n), np.arange(n) % 2])
    time = rng.uniform(0.5, 2, n)
    y = rng.poisson(time * rng.gamma(1.5, 1.2, n)).astype(float)
    model = NegativeBinomial(y, X, exposure=time) if dispersed else Poisson(y, X, exposure=time)
    fit = model.fit(method="bfgs", disp=0, gtol=1e-10, maxiter=2000)
    beta, a = np.asarray(fit.params)[:2], float(fit.params[-1]) if dispersed else 0.0
    found = zero_inflation(y, X, time * np.exp(X @ beta), a)
    parameters = np.concatenate([[0.0], beta, [a] if dispersed else []])
    assert_allclose(found.chi2, by_definition(y, X, time, parameters, dispersed), rtol=1e-4)


def test_level_of_the_test():
    rng = np.random.default_rng(11)
    X = np.ones((80, 1))
    rejected = 0
    for _ in range(2000):
        y = rng.poisson(1.3, 80).astype(float)
        rejected += zero_inflation(y, X, np.full(80, y.mean()), 0.0).p < 0.05
    assert 0.035 < rejected / 2000 < 0.065
