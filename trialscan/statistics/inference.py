"""Degrees of freedom and standard errors of linear combinations of fixed effects.

Every method works from the same three things: Φ (p, p), the model-based covariance of the estimates; dΦ/dphi_h
(k, p, p), its derivatives in the covariance parameters; and W (k, k), the covariance of those parameters.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sensitivity:
    """Φ, its derivatives and W, as above."""

    vcov: Array
    derivatives: Array
    W: Array


@dataclass(frozen=True)
class JointTest:
    """An F test that linear combinations are all zero."""

    statistic: float
    numerator_df: float
    denominator_df: float

    @property
    def p(self) -> float:
        """Upper tail of F."""
        return float(stats.f.sf(self.statistic, self.numerator_df, self.denominator_df))


class Inference(Protocol):
    """A covariance of the estimates, and the reference distribution of statistics made with it."""

    @property
    def description(self) -> str:
        """The method in words, for tables and records."""

    @property
    def vcov(self) -> Array:
        """Covariance (p, p) of the estimates."""

    def df(self, weights: Array) -> Array:
        """Degrees of freedom (c,) of the combinations in the rows of `weights` (c, p)."""

    def joint(self, weights: Array, estimates: Array) -> JointTest:
        """The test that all combinations, of rank c, are zero; `estimates` (c,) = weights · beta."""


@dataclass(frozen=True)
class FixedDf:
    """The same degrees of freedom for everything: residual, or infinite for asymptotic inference."""

    description: str
    vcov: Array
    degrees: float

    def df(self, weights: Array) -> Array:
        """`degrees` for each."""
        return np.full(len(weights), self.degrees)

    def joint(self, weights: Array, estimates: Array) -> JointTest:
        """Wald's F."""
        return JointTest(_wald_f(self.vcov, weights, estimates), len(weights), self.degrees)


@dataclass(frozen=True)
class Satterthwaite:
    """df = 2 v² / Var(v), v = c'Φc, by the delta method (Satterthwaite 1946; Giesbrecht & Burns 1985).

    Joint tests after Fai & Cornelius (1996).
    """

    description: str
    sensitivity: Sensitivity

    @property
    def vcov(self) -> Array:
        """Φ itself."""
        return self.sensitivity.vcov

    def df(self, weights: Array) -> Array:
        """By the delta method."""
        at = self.sensitivity
        v = np.einsum("ca,ab,cb->c", weights, at.vcov, weights)
        slope = np.einsum("ca,hab,cb->ch", weights, at.derivatives, weights)
        return np.asarray(2 * v**2 / np.einsum("ch,hj,cj->c", slope, at.W, slope))

    def joint(self, weights: Array, estimates: Array) -> JointTest:
        """Fai and Cornelius's F."""
        return joint_of(self, weights, estimates)


@dataclass(frozen=True)
class KenwardRoger:
    """Adjusted covariance and scaled F of Kenward & Roger (1997), from `adjusted` (p, p) and the Φ behind it."""

    description: str
    sensitivity: Sensitivity
    adjusted: Array

    @property
    def vcov(self) -> Array:
        """The adjusted covariance."""
        return self.adjusted

    def df(self, weights: Array) -> Array:
        """Of each combination alone, where the method equals Satterthwaite's."""
        return np.array([self._scaled(row[None])[0] for row in weights])

    def joint(self, weights: Array, estimates: Array) -> JointTest:
        """F scaled by lambda, on the df that match its first two moments."""
        degrees, scale = self._scaled(weights)
        return JointTest(scale * _wald_f(self.adjusted, weights, estimates), len(weights), degrees)

    def _scaled(self, weights: Array) -> tuple[float, float]:
        """Denominator df and lambda."""
        at, c = self.sensitivity, len(weights)
        inside = np.linalg.inv(weights @ at.vcov @ weights.T)
        moved = np.array([inside @ (weights @ change @ weights.T) for change in at.derivatives])
        traces = np.einsum("haa->h", moved)
        a1 = float(traces @ at.W @ traces)
        a2 = float(np.einsum("hj,hab,jba->", at.W, moved, moved))
        b = (a1 + 6 * a2) / (2 * c)
        g = ((c + 1) * a1 - (c + 4) * a2) / ((c + 2) * a2)
        under = 3 * c + 2 * (1 - g)
        c1, c2, c3 = g / under, (c - g) / under, (c + 2 - g) / under
        mean = 1 / (1 - a2 / c)
        variance = (2 / c) * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
        degrees = 4 + (c + 2) / (c * variance / (2 * mean**2) - 1)
        return degrees, degrees / (mean * (degrees - 2))


def joint_of(inference: Inference, weights: Array, estimates: Array) -> JointTest:
    """F with the denominator df at which its mean is that of independent squared t (Fai & Cornelius 1996)."""
    values, vectors = np.linalg.eigh(weights @ inference.vcov @ weights.T)
    c = len(weights)
    statistic = float(np.sum((vectors.T @ estimates) ** 2 / values)) / c
    each = inference.df(vectors.T @ weights)
    if c == 1 or np.ptp(each) < 1e-8 * np.max(each):
        return JointTest(statistic, c, float(np.mean(each)))
    if not np.all(each > 2):
        return JointTest(statistic, c, 2.0)
    mean = float(np.sum(each / (each - 2)))
    return JointTest(statistic, c, 2 * mean / (mean - c))


def adjusted_vcov(sensitivity: Sensitivity, P: Array, Q: Array, R: Array | float) -> Array:
    """Φ + 2Φ{Σ_hj w_hj (Q_hj − P_hΦP_j) − R/4}Φ (Kenward & Roger 1997, eq. 5).

    P (k, p, p) = X'V⁻¹V_hV⁻¹X; Q = Σ_hj w_hj X'V⁻¹V_hV⁻¹V_jV⁻¹X and R = Σ_hj w_hj X'V⁻¹V_hjV⁻¹X, both (p, p); R is
    zero where V is linear in its parameters, and by decision in the linear version.
    """
    vcov, W = sensitivity.vcov, sensitivity.W
    PP = np.einsum("hab,bc,hcd->ad", P, vcov, np.tensordot(W, P, axes=1))
    out = vcov + 2 * vcov @ (Q - PP - np.asarray(R) / 4) @ vcov
    return np.asarray((out + out.T) / 2)


def _wald_f(vcov: Array, weights: Array, estimates: Array) -> float:
    return float(estimates @ np.linalg.solve(weights @ vcov @ weights.T, estimates)) / len(weights)
