"""Sandwich covariances of the fixed effects by patient, and their degrees of freedom.

With whitened X̃_i = L_i⁻¹X_i, r̃_i = L_i⁻¹r_i (S_i = L_iL_i') and leverage H_i = X̃_iΦX̃_i' the covariance is
Φ Σ_i (X̃_i'A_i r̃_i)(…)' Φ, where A_i is I (CR0; Liang & Zeger 1986), (K_i(I − H_i)K_i)^−1/2 K_i with K_i = L_i'L_i (CR2;
Bell & McCaffrey 2002) or (I − H_i)⁻¹ (CR3; the jackknife, Mancl & DeRouen 2001). Of the roots that make CR2 exact under
the model, which differ in the fourth digit, this is the one of Pustejovsky & Tipton (2018) and their clubSandwich. The
df of c'b are tr(G)²/tr(G²) of the quadratic form that estimates its variance (the same authors).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trialscan.statistics.inference import JointTest, Method, joint_of
from trialscan.statistics.mmrm.likelihood import MmrmLikelihood
from trialscan.statistics.mmrm.moments import Scale
from trialscan.statistics.mmrm.search import Minimum

Array = NDArray[np.float64]
Sandwich = Literal["CR0", "CR2", "CR3"]
NAMES: dict[Sandwich, str] = {
    "CR0": "sandwich CR0 (empirical)",
    "CR2": "sandwich CR2 (bias-reduced)",
    "CR3": "sandwich CR3 (jackknife)",
}


@dataclass(frozen=True)
class SandwichInference:
    """A sandwich covariance; `bread` is Φ and `corrected` (patients, m, p) the rows A_i'X̃_i, zero where unseen.

    `whitened` holds X̃_i alike.
    """

    method: Method
    vcov: Array
    bread: Array
    corrected: Array
    whitened: Array

    def df(self, weights: Array) -> Array:
        """tr(G)² / tr(G²) of each combination."""
        return np.array([self._degrees(row) for row in weights])

    def joint(self, weights: Array, estimates: Array) -> JointTest:
        """As Satterthwaite's joint test."""
        return joint_of(self, weights, estimates)

    def _degrees(self, weights: Array) -> float:
        u = self.corrected @ (self.bread @ weights)
        v = np.einsum("imp,im->ip", self.whitened, u)
        own = np.einsum("im,im->i", u, u)
        shared = np.einsum("ia,ab,ib->i", v, self.bread, v)
        cross = self.bread @ (v.T @ v)
        trace = float(np.sum(own - shared))
        squared = float(np.sum(own**2 - 2 * own * shared) + np.sum(cross * cross.T))
        return trace**2 / squared


def sandwich_inference(likelihood: MmrmLikelihood, minimum: Minimum, scale: Scale, kind: Sandwich) -> SandwichInference:
    """The sandwich at a minimum, in the original coefficients."""
    phi, at, back = minimum.phi, minimum.at, scale.inverse_r
    p, m = likelihood.moments.n_fixed, likelihood.n_visits
    residual = np.append(-at.beta, 1.0)
    whitened: list[Array] = []
    corrected: list[Array] = []
    scores: list[Array] = []
    for patterns, covariance in zip(likelihood.moments.groups, likelihood.covariances(phi), strict=True):
        for index, seen in enumerate(patterns.observed):
            size = int(seen.sum())
            rows = patterns.rows[patterns.first[index] : patterns.first[index + 1]].reshape(-1, size, p + 1)
            factor = np.linalg.cholesky(covariance.S[np.ix_(seen, seen)])
            white = np.linalg.inv(factor) @ rows
            X, r = white[..., :p], white @ residual
            leverage = X @ at.vcov @ X.transpose(0, 2, 1)
            adjusted = _correction(np.eye(size) - leverage, factor.T @ factor, kind) @ X
            scores.append(np.einsum("imp,im->ip", adjusted, r))
            for target, values in ((whitened, X), (corrected, adjusted)):
                wide = np.zeros((len(rows), m, p))
                wide[:, seen] = values
                target.append(wide)
    score = np.concatenate(scores)
    meat = score.T @ score
    vcov = scale.y_scale**2 * back @ at.vcov @ meat @ at.vcov @ back.T
    inverse = np.linalg.inv(back)
    return SandwichInference(
        method=Method(kind, f"{NAMES[kind]}, Satterthwaite degrees of freedom (Bell and McCaffrey)"),
        vcov=(vcov + vcov.T) / 2,
        bread=back @ at.vcov @ back.T,
        corrected=np.concatenate(corrected) @ inverse,
        whitened=np.concatenate(whitened) @ inverse,
    )


def _correction(rest: Array, K: Array, kind: Sandwich) -> Array:
    """A_i' (patients, m, m) of I − H_i and K; directions that a patient alone determines are left out."""
    if kind == "CR0":
        return np.broadcast_to(np.eye(rest.shape[-1]), rest.shape)
    if kind == "CR3":
        return _power(rest, -1.0)
    scaled = K / np.mean(np.diag(K))
    return np.asarray(scaled @ _power(scaled @ rest @ scaled, -0.5))


def _power(matrices: Array, exponent: float) -> Array:
    """Powers of symmetric matrices (…, m, m), over eigenvalues that are not zero."""
    values, vectors = np.linalg.eigh((matrices + np.swapaxes(matrices, -1, -2)) / 2)
    raised = np.where(values > 1e-10, np.maximum(values, 1e-10) ** exponent, 0.0)
    return np.asarray((vectors * raised[..., None, :]) @ np.swapaxes(vectors, -1, -2))
