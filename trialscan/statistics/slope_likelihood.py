"""The likelihood of the random-intercept-and-slope model, with exact first and second derivatives.

The outcome of patient i is y_i = X_i b + Z_i u_i + e_i with Z_i = [1, t], u_i ~ N(0, G), e_i ~ N(0, s2 I) (Laird & Ware
1982), so that V_i = Z_i G Z_i' + s2 I is linear in the four natural parameters (g11, g12, g22, s2): V = sum phi_k K_k.
With P = V⁻¹ − V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹ (Patterson & Thompson 1971; derivatives as in Lindstrom & Bates 1988)

    −2 log REML   = log|V| + log|X'V⁻¹X| + y'Py + (N − p) log 2 pi
    gradient_k    = tr(P K_k) − y'P K_k P y
    Hessian_kl    = −tr(P K_k P K_l) + 2 y'P K_k P K_l P y

and for ML the same without log|X'V⁻¹X| and with V⁻¹ for P inside the traces. No V is ever formed: with Z_i = O_i T_i,
V_i is K_i = T_i G T_i' + s2 I (2×2) in the plane of O_i and s2 across it, so that every quantity is a sum of terms of
one sign; neither a singular G nor one far larger than s2 costs digits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.statistics.slope_moments import SlopeMoments

Array = NDArray[np.float64]
UNITS: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = (
    ((1, 0), (0, 0)),
    ((0, 1), (1, 0)),
    ((0, 0), (0, 1)),
)


@dataclass(frozen=True)
class Evaluation:
    """−2 log-likelihood at natural parameters, its gradient (4,), Hessian (4, 4), and the fixed effects there.

    `expected` (4, 4) is the mean of the Hessian; P (4, p, p) = X'V⁻¹K_kV⁻¹X and Q (4, 4, p, p) =
    X'V⁻¹K_kV⁻¹K_lV⁻¹X serve inference.
    """

    value: float
    gradient: Array
    hessian: Array
    expected: Array
    beta: Array
    vcov: Array
    P: Array
    Q: Array


@dataclass(frozen=True)
class _Solved:
    """V⁻¹ applied to everything: inverse K⁻¹ (2, 2, n), kt = K⁻¹T, kb = K⁻¹O'[X, r] (2, p + 1, n).

    F = Z'V⁻¹[X, r] (2, p + 1, n); across (p + 1, p + 1) = [X, r]'(I − OO')[X, r].
    """

    value: float
    beta: Array
    vcov: Array
    inverse: Array
    kt: Array
    kb: Array
    F: Array
    across: Array


class SlopeLikelihood:
    """−2 log-likelihood of the moments as a function of (g11, g12, g22, s2), by REML or ML."""

    def __init__(self, moments: SlopeMoments, *, reml: bool) -> None:
        self.moments = moments
        self.reml = reml

    def first_order(self, phi: Array) -> tuple[float, Array]:
        """Value and exact gradient; phi must give s2 > 0 and a positive semidefinite G."""
        solved = self._solve(phi)
        return solved.value, self._gradient(solved, *self._first_moments(solved, float(phi[3])))

    def __call__(self, phi: Array) -> Evaluation:
        """Value, exact gradient and exact Hessian; phi as in `first_order`."""
        solved = self._solve(phi)
        trace1, M = self._first_moments(solved, float(phi[3]))
        trace2, N = self._second_moments(solved, float(phi[3]))
        p, vcov = self.moments.n_fixed, solved.vcov
        cross = np.einsum("ka,ab,lb->kl", M[:, p, :p], vcov, M[:, p, :p])
        hessian = -trace2 + 2 * (N[:, :, p, p] - cross)
        P, Q = M[:, :p, :p], N[:, :, :p, :p]
        expected = trace2
        if self.reml:
            PK = np.einsum("ab,kbc->kac", vcov, P)
            through = 2 * np.einsum("ab,klba->kl", vcov, Q) - np.einsum("kab,lba->kl", PK, PK)
            hessian, expected = hessian + through, expected - through
        return Evaluation(
            value=solved.value,
            gradient=self._gradient(solved, trace1, M),
            hessian=(hessian + hessian.T) / 2,
            expected=(expected + expected.T) / 2,
            beta=solved.beta,
            vcov=vcov,
            P=P,
            Q=Q,
        )

    def _gradient(self, solved: _Solved, trace: Array, M: Array) -> Array:
        p = self.moments.n_fixed
        gradient = trace - M[:, p, p]
        if self.reml:
            gradient = gradient - np.einsum("ab,kba->k", solved.vcov, M[:, :p, :p])
        return np.asarray(gradient)

    def _solve(self, phi: Array) -> _Solved:
        """V⁻¹ applied to everything, the generalised least-squares estimate, and the value."""
        moments, p, s2 = self.moments, self.moments.n_fixed, float(phi[3])
        inverse, det = _inverse(moments.T, phi)
        kb = np.einsum("abn,bcn->acn", inverse, moments.b)
        U = moments.S / s2 + np.einsum("acn,adn->cd", moments.b, kb)
        U = (U + U.T) / 2
        vcov = np.linalg.inv(U[:p, :p])
        vcov = (vcov + vcov.T) / 2
        beta = vcov @ U[:p, p]
        kb[:, p] -= np.einsum("acn,c->an", kb[:, :p], beta)
        to_residual = np.eye(p + 1)
        to_residual[:p, p] = -beta
        across = to_residual.T @ moments.S @ to_residual
        residual = moments.b[:, p] - np.einsum("acn,c->an", moments.b[:, :p], beta)
        value = float(np.sum((moments.counts - 2) * np.log(s2) + np.log(det)) + np.sum(residual * kb[:, p]))
        value += float(across[p, p]) / s2 + moments.n_obs * np.log(2 * np.pi)
        if self.reml:
            value += float(np.linalg.slogdet(U[:p, :p])[1]) - p * np.log(2 * np.pi)
        kt = np.einsum("abn,bcn->acn", inverse, moments.T)
        F = np.einsum("ban,bcn->acn", moments.T, kb)
        return _Solved(value, beta, vcov, inverse, kt, kb, F, across)

    def _first_moments(self, solved: _Solved, s2: float) -> tuple[Array, Array]:
        """tr(V⁻¹K_k) (4,) and [X, r]'V⁻¹K_kV⁻¹[X, r] (4, p + 1, p + 1)."""
        E = np.array(UNITS, dtype=np.float64)
        D = np.einsum("can,cbn->ab", self.moments.T, solved.kt)
        M = np.einsum("kab,abcd->kcd", E, np.einsum("acn,bdn->abcd", solved.F, solved.F))
        last = solved.across / s2**2 + np.einsum("acn,adn->cd", solved.kb, solved.kb)
        trace = np.sum(self.moments.counts - 2) / s2 + np.sum(solved.inverse[0, 0] + solved.inverse[1, 1])
        return np.append(np.einsum("kab,ba->k", E, D), trace), np.concatenate([M, last[None]])

    def _second_moments(self, solved: _Solved, s2: float) -> tuple[Array, Array]:
        """tr(V⁻¹K_kV⁻¹K_l) (4, 4) and [X, r]'V⁻¹K_kV⁻¹K_lV⁻¹[X, r] (4, 4, p + 1, p + 1)."""
        E = np.array(UNITS, dtype=np.float64)
        F, kt, kb = solved.F, solved.kt, solved.kb
        D = np.einsum("can,cbn->abn", self.moments.T, kt)
        q = F.shape[1]
        N = np.zeros((4, 4, q, q))
        triple = np.einsum("acben,fdn->abefcd", np.einsum("ben,acn->acben", D, F), F)
        N[:3, :3] = np.einsum("kab,abefcd,lef->klcd", E, triple, E)
        N[:3, 3] = np.einsum("kab,abcd->kcd", E, np.einsum("acn,bdn->abcd", F, np.einsum("ban,bcn->acn", kt, kb)))
        N[3, :3] = N[:3, 3].transpose(0, 2, 1)
        N[3, 3] = solved.across / s2**3 + np.einsum("acn,abn,bdn->cd", kb, solved.inverse, kb)
        trace = np.zeros((4, 4))
        trace[:3, :3] = np.einsum("kab,bcda,lcd->kl", E, np.einsum("bcn,dan->bcda", D, D), E)
        trace[:3, 3] = trace[3, :3] = np.einsum("kab,ba->k", E, np.einsum("can,cbn->ab", kt, kt))
        trace[3, 3] = np.sum(self.moments.counts - 2) / s2**2 + np.sum(solved.inverse * solved.inverse)
        return trace, N


def _inverse(T: Array, phi: Array) -> tuple[Array, Array]:
    """(T G T' + s2 I)⁻¹ (2, 2, n) and the determinant (n,), each a sum of terms of one sign."""
    g11, g12, g22, s2 = phi
    (t11, t12), (_, t22) = T
    top = g11 * t11 * t11 + 2 * g12 * t11 * t12 + g22 * t12 * t12
    side = (g12 * t11 + g22 * t12) * t22
    bottom = g22 * t22 * t22
    det = max(g11 * g22 - g12 * g12, 0.0) * (t11 * t22) ** 2 + s2 * (top + bottom) + s2 * s2
    return np.array([[bottom + s2, -side], [-side, top + s2]]) / det, det
