"""Degrees of freedom and standard errors of linear combinations of fixed effects.

Every method works from the same three things: Φ (p, p), the model-based covariance of the estimates; dΦ/dphi_h
(k, p, p), its derivatives in the covariance parameters; and W (k, k), the covariance of those parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trialscan.errors import StatisticsError

Array = NDArray[np.float64]
Information = Literal["observed", "expected"]
DF_METHODS = ("kenward-roger", "kenward-roger-linear", "satterthwaite", "residual", "asymptotic")


@dataclass(frozen=True)
class Method:
    """How standard errors and degrees of freedom are had.

    `name` is one of DF_METHODS or a sandwich's, `description` says it in words. `information` (observed or expected)
    and `parameterisation` (of the covariance, where the method depends on it) are None where they do not matter.
    """

    name: str
    description: str
    information: Information | None = None
    parameterisation: str | None = None


@dataclass(frozen=True)
class Sensitivity:
    """Φ, its derivatives and W, as above."""

    vcov: Array
    derivatives: Array
    W: Array


@dataclass(frozen=True)
class WorkingFit:
    """A fit on the scale it was made on, from which any inference can be had.

    vcov (p, p) = Φ; P (k, p, p) = X'V⁻¹V_hV⁻¹X; `information` (k, k) is the Hessian of −2 log-likelihood, observed or
    expected as `kind` says; `back` (p, p) leads to the original coefficients; `residual_df` are rows less coefficients.
    """

    vcov: Array
    P: Array
    information: Array
    kind: Information
    back: Array
    residual_df: float

    def original(self, values: Array) -> Array:
        """Symmetric matrices (…, p, p) in the original coefficients."""
        out = self.back @ values @ self.back.T
        return np.asarray((out + np.swapaxes(out, -1, -2)) / 2)

    def sensitivity(self) -> Sensitivity:
        """dΦ/dphi = Φ P_h Φ and W = 2 H⁻¹, on the working scale."""
        moved = np.einsum("ab,hbc,cd->had", self.vcov, self.P, self.vcov)
        return Sensitivity(self.vcov, moved, np.asarray(2 * np.linalg.inv(self.information)))


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
    def method(self) -> Method:
        """What it is, for tables and records."""

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

    method: Method
    vcov: Array
    degrees: float

    def df(self, weights: Array) -> Array:
        """`degrees` for each."""
        return np.full(len(weights), self.degrees)

    def joint(self, weights: Array, estimates: Array) -> JointTest:
        """Wald's F."""
        return JointTest(_wald_f(self.vcov, weights, estimates), len(weights), self.degrees)


def satterthwaite_df(at: Sensitivity, weights: Array) -> Array:
    """2 v² / Var(v) of each combination in `weights` (c, p), v = c'Φc its variance."""
    v = np.einsum("ca,ab,cb->c", weights, at.vcov, weights)
    slope = np.einsum("ca,hab,cb->ch", weights, at.derivatives, weights)
    return np.asarray(2 * v**2 / np.einsum("ch,hj,cj->c", slope, at.W, slope))


@dataclass(frozen=True)
class Satterthwaite:
    """df = 2 v² / Var(v), v = c'Φc, by the delta method (Satterthwaite 1946; Giesbrecht & Burns 1985).

    Joint tests after Fai & Cornelius (1996).
    """

    method: Method
    sensitivity: Sensitivity

    @property
    def vcov(self) -> Array:
        """Φ itself."""
        return self.sensitivity.vcov

    def df(self, weights: Array) -> Array:
        """By the delta method."""
        return satterthwaite_df(self.sensitivity, weights)

    def joint(self, weights: Array, estimates: Array) -> JointTest:
        """Fai and Cornelius's F."""
        return joint_of(self, weights, estimates)


@dataclass(frozen=True)
class KenwardRoger:
    """Adjusted covariance and scaled F of Kenward & Roger (1997), from `adjusted` (p, p) and the Φ behind it."""

    method: Method
    sensitivity: Sensitivity
    adjusted: Array

    @property
    def vcov(self) -> Array:
        """The adjusted covariance."""
        return self.adjusted

    def df(self, weights: Array) -> Array:
        """Of each combination alone, where the method equals Satterthwaite's."""
        return satterthwaite_df(self.sensitivity, weights)

    def joint(self, weights: Array, estimates: Array) -> JointTest:
        """F scaled by lambda, on the df that match its first two moments."""
        degrees, scale = self._scaled(weights)
        return JointTest(scale * _wald_f(self.adjusted, weights, estimates), len(weights), degrees)

    def _scaled(self, weights: Array) -> tuple[float, float]:
        """Denominator df and lambda; for one combination lambda is 1. StatisticsError where no F has such moments."""
        at, c = self.sensitivity, len(weights)
        if c == 1:
            return float(satterthwaite_df(at, weights)[0]), 1.0
        inside = np.linalg.inv(weights @ at.vcov @ weights.T)
        moved = np.array([inside @ (weights @ change @ weights.T) for change in at.derivatives])
        traces = np.einsum("haa->h", moved)
        a1 = float(traces @ at.W @ traces)
        a2 = float(np.einsum("hj,hab,jba->", at.W, moved, moved))
        if a2 >= c:
            raise StatisticsError(
                "joint test",
                f"Kenward–Roger's F for {c} combinations has no mean",
                "more patients, or fewer combinations",
                "Take df='satterthwaite'",
            )
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


def choose_inference(
    df: str, fit: WorkingFit, adjust: Callable[[Sensitivity], Array], parameters: str = "natural"
) -> Inference:
    """The inference that `df` (one of DF_METHODS) names.

    `adjust` gives Kenward–Roger's covariance on the working scale, differentiated in `parameters`. StatisticsError
    where that is no covariance.
    """
    if df == "asymptotic":
        return FixedDf(Method(df, "asymptotic (normal) inference"), fit.original(fit.vcov), np.inf)
    if df == "residual":
        return FixedDf(Method(df, "residual degrees of freedom"), fit.original(fit.vcov), fit.residual_df)
    working = fit.sensitivity()
    found = Sensitivity(fit.original(working.vcov), fit.original(working.derivatives), working.W)
    if df == "satterthwaite":
        words = f"Satterthwaite degrees of freedom, {fit.kind} information"
        return Satterthwaite(Method(df, words, fit.kind), found)
    title = f"Kenward–Roger{' (linear)' if df.endswith('linear') else ''}, {parameters} parameters"
    method = Method(df, f"{title}, {fit.kind} information", fit.kind, parameters)
    adjusted = adjust(working)
    _refuse_indefinite(adjusted, working.vcov)
    return KenwardRoger(method, found, fit.original(adjusted))


def _refuse_indefinite(adjusted: Array, vcov: Array) -> None:
    """The adjustment is an expansion for large trials, which in the smallest can make variances negative."""
    whiten = np.linalg.inv(np.linalg.cholesky(vcov))
    least = float(np.linalg.eigvalsh(whiten @ adjusted @ whiten.T)[0])
    if least <= 0:
        raise StatisticsError(
            "Kenward–Roger",
            f"the adjusted covariance of the estimates is not positive definite (least eigenvalue {least:.3g} "
            "of the unadjusted one)",
            "more patients for the covariance's parameters",
            "Take a covariance with fewer parameters, or df='satterthwaite'",
        )


def refuse_options(alpha: float, **options: tuple[object, tuple[object, ...]]) -> None:
    """Raise StatisticsError for an alpha outside 0 … 1, or an option (value, allowed) that is not offered."""
    for name, (value, allowed) in options.items():
        if value not in allowed:
            raise StatisticsError(f"{name}={value!r}", "not available", f"one of {', '.join(map(str, allowed))}")
    if not 0 < alpha < 1:
        raise StatisticsError(f"alpha={alpha!r}", "not a probability between 0 and 1", "for example 0.05")


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
