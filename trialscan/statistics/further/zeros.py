"""Whether counts have more zeros than their model expects: a score test of zero inflation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
TAIL = 1e-14


@dataclass(frozen=True)
class ZeroInflation:
    """Zeros `observed` and `expected` by row, and the score test of a zero-inflated alternative on one df."""

    observed: NDArray[np.bool_]
    expected: Array
    chi2: float

    @property
    def p(self) -> float:
        """Upper tail of chi-square on one degree of freedom; against too many zeros and too few."""
        return float(stats.chi2.sf(self.chi2, 1))


def zero_inflation(y: Array, X: Array, mean: Array, dispersion: float) -> ZeroInflation:
    """Test a fitted Poisson (`dispersion` 0) or negative binomial (variance mean + dispersion · mean²) regression.

    Parameters
    ----------
    y (n,) counts, X (n, p) the regression's columns, mean (n,) its fitted means, exposure included; log link.

    With p0 the model's chance of a zero, U = Σ(1[y = 0]/p0 − 1), and U²/V is chi-square on one degree of freedom with
    V = Σ(1/p0 − 1) − c'J⁻¹c, J the expected information of the other parameters and c = Σ ∂log p0. For Poisson this
    is van den Broek (1995); the negative binomial's information is Lawless's (1987).
    """
    if dispersion == 0:
        none = np.exp(-mean)
        score = -mean[:, None] * X
        information = (X * mean[:, None]).T @ X
    else:
        none, score, information = _negative_binomial(X, mean, dispersion)
    c = score.sum(axis=0)
    U = float(np.sum((y == 0) / none - 1))
    V = float(np.sum(1 / none - 1) - c @ np.linalg.solve(information, c))
    return ZeroInflation(y == 0, none, U**2 / V if V > 0 else 0.0)


def _negative_binomial(X: Array, mean: Array, dispersion: float) -> tuple[Array, Array, Array]:
    """Chance of a zero, its log's derivatives in (beta, dispersion), and their expected information."""
    a, inflated = dispersion, 1 + dispersion * mean
    none = inflated ** (-1 / a)
    in_dispersion = np.log(inflated) / a**2 - mean / (a * inflated)
    score = np.column_stack([-(mean / inflated)[:, None] * X, in_dispersion])
    p = X.shape[1]
    information = np.zeros((p + 1, p + 1))
    information[:p, :p] = (X * (mean / inflated)[:, None]).T @ X
    information[p, p] = _dispersion_information(mean, a)
    return none, score, information


def _dispersion_information(mean: Array, a: float) -> float:
    """E[−∂²log L/∂a²] = a⁻⁴ Σ_i {Σ_j P(Y_i > j)/(1/a + j)² − a mean_i/(mean_i + 1/a)} (Lawless 1987)."""
    chance = 1 / (1 + a * mean)
    total, j = -np.sum(a * mean / (mean + 1 / a)), 0
    while True:
        block = np.arange(j, j + 256)
        above = np.asarray(stats.nbinom.sf(block[:, None], 1 / a, chance))
        total += np.sum(above / (1 / a + block[:, None]) ** 2)
        j += 256
        if above[-1].max() < TAIL:
            return float(total / a**4)
