"""The likelihood of the MMRM with exact derivatives in the natural covariance parameters.

y_i = X_i b + e_i with e_i ~ N(0, S_i), S_i the rows and columns of S that patient i was seen at (Jennrich & Schluchter
1986). With V = blockdiag(S_i), V_h = dV/dphi_h, P = V⁻¹ − V⁻¹X Φ X'V⁻¹, Φ = (X'V⁻¹X)⁻¹ and r = y − Xb

    −2 log REML = log|V| + log|X'V⁻¹X| + r'V⁻¹r + (N − p) log 2 pi
    gradient_h  = tr(P V_h) − r'V⁻¹V_hV⁻¹r
    Hessian_hj  = tr(P V_hj) − r'V⁻¹V_hjV⁻¹r − tr(P V_h P V_j) + 2 r'V⁻¹V_h P V_jV⁻¹r

and for ML without log|X'V⁻¹X| and with V⁻¹ for P in the traces. All sums over patients are sums over patterns of the
products that `Moments` holds: with Z = Φ (REML only) + tt', t = (−b, 1), E_ab = tr(Z Σ w_a w_b') and F = S⁻¹ES⁻¹ the
gradient is that of S in the one matrix Σ n S⁻¹ − F (m, m), chained to the parameters.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.statistics.columns import LARGEST
from trialscan.statistics.covariance import Derivatives, Structure
from trialscan.statistics.mmrm.moments import Moments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """Value and generalised least squares at one covariance: beta (p,), vcov Φ (p, p); value infinite outside."""

    value: float
    beta: Array
    vcov: Array


@dataclass(frozen=True)
class Evaluation:
    """Value, gradient (k,), observed and expected Hessian (k, k), and what inference needs.

    `P` (k, p, p) = X'V⁻¹V_hV⁻¹X = −d(X'V⁻¹X)/dphi_h.
    """

    value: float
    gradient: Array
    hessian: Array
    expected: Array
    beta: Array
    vcov: Array
    P: Array


class MmrmLikelihood:
    """−2 log-likelihood of moments as a function of phi: the groups' natural parameters one after the other."""

    def __init__(self, moments: Moments, structure: Structure, *, reml: bool) -> None:
        self.moments = moments
        self.structure = structure
        self.reml = reml
        self.n_visits = moments.groups[0].n_visits
        self.count = structure.count(self.n_visits)

    def parts(self, phi: Array) -> list[Array]:
        """phi by group."""
        return np.split(phi, len(self.moments.groups))

    def covariances(self, phi: Array) -> list[Derivatives]:
        """S and its derivatives by group."""
        return [self.structure.derivatives(part, self.n_visits) for part in self.parts(phi)]

    def solve(self, phi: Array) -> Solution:
        """Value and fixed effects; the value is infinite where a covariance is not positive definite or too large."""
        p = self.moments.n_fixed
        outside = Solution(np.inf, np.zeros(p), np.zeros((p, p)))
        if not np.max(np.abs(phi)) <= LARGEST:
            return outside
        total, log_det = np.zeros((p + 1, p + 1)), 0.0
        for group, derivatives in enumerate(self.covariances(phi)):
            if not _is_positive_definite(derivatives.S):
                return outside
            for products, counts, inverse in self._blocks(group, derivatives.S):
                total += np.tensordot(inverse, products, axes=3)
                log_det -= float(np.sum(counts * np.linalg.slogdet(_completed(inverse))[1]))
        sign, log_det_x = np.linalg.slogdet(total[:p, :p])
        if sign <= 0:
            return outside
        vcov = np.linalg.inv(total[:p, :p])
        vcov = (vcov + vcov.T) / 2
        beta = vcov @ total[:p, p]
        t = np.append(-beta, 1.0)
        value = log_det + float(t @ total @ t) + self.moments.n_obs * np.log(2 * np.pi)
        if self.reml:
            value += float(log_det_x) - p * np.log(2 * np.pi)
        return Solution(value, beta, vcov)

    def __call__(self, phi: Array, solved: Solution | None = None) -> Evaluation:
        """Everything at phi, which must lie inside; `solved` is what `solve` gave there, where it is known already."""
        solution, p = solved or self.solve(phi), self.moments.n_fixed
        vcov = solution.vcov
        residual = np.append(-solution.beta, 1.0)
        Z = np.outer(residual, residual)
        fixed = np.zeros_like(Z)
        fixed[:p, :p] = vcov
        gradients, curvature, traces, spread, moved = [], [], [], [], []
        for group, covariance in enumerate(self.covariances(phi)):
            block = self._block(group, covariance, Z, fixed)
            slope = np.tensordot(covariance.first, block.at_s, axes=2)
            bend = np.tensordot(covariance.second, block.at_s, axes=2)
            gradients.append(slope)
            curvature.append(bend - block.trace + 2 * block.at_residual + (2 * block.at_fixed if self.reml else 0.0))
            traces.append(block.trace)
            spread.append(block.at_fixed)
            moved.append(block.moved)
        M = np.concatenate(moved)
        P = M[:, :p, :p]
        PV = np.einsum("ab,hbc->hac", vcov, P)
        cross = np.einsum("hab,jba->hj", PV, PV)
        shift = np.einsum("hab,b->ha", M[:, :p], residual)
        hessian = _block_diagonal(curvature) - 2 * shift @ vcov @ shift.T - (cross if self.reml else 0.0)
        expected = _block_diagonal(traces)
        if self.reml:
            expected = expected - 2 * _block_diagonal(spread) + cross
        return Evaluation(
            value=solution.value,
            gradient=np.concatenate(gradients),
            hessian=(hessian + hessian.T) / 2,
            expected=(expected + expected.T) / 2,
            beta=solution.beta,
            vcov=vcov,
            P=P,
        )

    def sandwiched(self, phi: Array, inner: list["Inner"]) -> Array:
        """X'V⁻¹ K V⁻¹X (p, p) of the matrices K = Σ_hj w_hj V_h S⁻¹V_j + A that each group's `Inner` describes."""
        p = self.moments.n_fixed
        out = np.zeros((p + 1, p + 1))
        for group, (covariance, part) in enumerate(zip(self.covariances(phi), inner, strict=True)):
            turned = np.tensordot(part.w, covariance.first, axes=1)
            for products, _, inverse in self._blocks(group, covariance.S):
                between = part.A + sum(
                    first @ inverse @ second for first, second in zip(covariance.first, turned, strict=True)
                )
                out += np.tensordot(inverse @ between @ inverse, products, axes=3)
        return np.asarray((out + out.T)[:p, :p] / 2)

    def _block(self, group: int, covariance: Derivatives, Z: Array, fixed: Array) -> "_Block":
        first, k = covariance.first, self.count
        m, q = self.n_visits, len(Z)
        at_s, trace = np.zeros((m, m)), np.zeros((k, k))
        at_residual, at_fixed, moved = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, q, q))
        for products, counts, inverse in self._blocks(group, covariance.S):
            flat = products.reshape(-1, q * q)
            around = np.empty((k, len(counts), m, m))
            for h in range(k):
                around[h] = inverse @ first[h] @ inverse
            moved += (around.reshape(k, -1) @ flat).reshape(k, q, q)
            trace += first.reshape(k, -1) @ np.tensordot(around, counts, axes=([1], [0])).reshape(k, -1).T
            of_residual = inverse @ (flat @ Z.ravel()).reshape(-1, m, m) @ inverse
            of_fixed = inverse @ (flat @ fixed.ravel()).reshape(-1, m, m) @ inverse
            at_s += np.tensordot(counts, inverse, axes=1) - of_residual.sum(axis=0)
            if self.reml:
                at_s -= of_fixed.sum(axis=0)
            at_residual += _twice(first, inverse, of_residual)
            at_fixed += _twice(first, inverse, of_fixed)
        return _Block((at_s + at_s.T) / 2, trace, at_residual, at_fixed, moved)

    def _blocks(self, group: int, S: Array) -> Iterator[tuple[Array, Array, Array]]:
        """Products, counts (r,) and S⁻¹ (r, m, m) of the observed visits, zero at the others, chunk by chunk."""
        patterns = self.moments.groups[group]
        for chosen, products in self.moments.chunks(group):
            seen = patterns.observed[chosen]
            both = seen[:, :, None] & seen[:, None, :]
            unseen = np.eye(self.n_visits) * ~seen[:, :, None]
            inverse = np.linalg.inv(np.where(both, S, unseen))
            inverse = np.where(both, (inverse + inverse.transpose(0, 2, 1)) / 2, 0.0)
            yield products, patterns.counts[chosen], inverse


@dataclass(frozen=True)
class Inner:
    """For `sandwiched`: weights w (k, k) of V_h S⁻¹V_j and a matrix A (m, m), of one group."""

    w: Array
    A: Array


@dataclass(frozen=True)
class _Block:
    """One group's sums: gradient in S, tr(V⁻¹V_hV⁻¹V_j), the same through r and through Φ, and X̃'V⁻¹V_hV⁻¹X̃."""

    at_s: Array
    trace: Array
    at_residual: Array
    at_fixed: Array
    moved: Array


def _is_positive_definite(S: Array) -> bool:
    """Whether all correlation matrices within S can be inverted; eigenvalues at rounding error count as zero."""
    variances = np.diag(S)
    if not np.isfinite(S).all() or np.min(variances) <= 0:
        return False
    sd = np.sqrt(variances)
    return bool(np.linalg.eigvalsh(S / sd / sd[:, None])[0] > len(S) * np.finfo(np.float64).eps)


def _twice(first: Array, inverse: Array, around: Array) -> Array:
    """Σ_r tr(V_h S_r⁻¹ V_j F_r) (k, k)."""
    k = len(first)
    through = np.array([(inverse @ V @ around).sum(axis=0) for V in first])
    found: Array = first.transpose(0, 2, 1).reshape(k, -1) @ through.reshape(k, -1).T
    return (found + found.T) / 2


def _completed(inverse: Array) -> Array:
    """Ones on the diagonal where a visit was not observed, so that the determinant is that of the rest."""
    out = inverse.copy()
    index = np.arange(inverse.shape[-1])
    diagonal = out[:, index, index]
    out[:, index, index] = np.where(diagonal == 0, 1.0, diagonal)
    return out


def _block_diagonal(blocks: list[Array]) -> Array:
    size = sum(len(block) for block in blocks)
    out = np.zeros((size, size))
    start = 0
    for block in blocks:
        out[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return out
