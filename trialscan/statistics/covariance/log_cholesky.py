"""The parameters in which R's mmrm differentiates: logarithms of standard deviations and unbounded correlations.

Unstructured: S = L L', L_ij = exp(a_i) l_ij with l_ii = 1. All others: standard deviations exp(a) and correlations
theta / sqrt(1 + theta²), or for compound symmetry the logistic function stretched to −1/(m − 1) … 1. They serve
comparison with mmrm alone (its vignette "Details of covariance structures"); fits are made in natural parameters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.statistics.covariance.correlations import CompoundSymmetry
from trialscan.statistics.covariance.structures import (
    Heterogeneous,
    Homogeneous,
    LinearBand,
    Structure,
    Unstructured,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Chart:
    """Second derivatives (k, k, m, m) of S in theta, and dtheta/dphi (k, k)."""

    second: Array
    inverse: Array


def log_cholesky(structure: Structure, phi: Array, m: int) -> Chart:
    """mmrm's parameters at natural phi (k,)."""
    natural = structure.derivatives(phi, m)
    first, second = _unstructured(natural.S) if isinstance(structure, Unstructured) else _scaled(structure, phi, m)
    k = len(phi)
    jacobian = np.linalg.lstsq(natural.first.reshape(k, -1).T, first.reshape(k, -1).T, rcond=None)[0]
    return Chart(second, np.linalg.inv(jacobian))


def _unstructured(S: Array) -> tuple[Array, Array]:
    m = len(S)
    L = np.linalg.cholesky(S)
    rows, columns = np.tril_indices(m, -1)
    k = m + len(rows)
    dL, d2L = np.zeros((k, m, m)), np.zeros((k, k, m, m))
    for i in range(m):
        dL[i, i] = L[i]
        d2L[i, i, i] = L[i]
    for h, (i, j) in enumerate(zip(rows, columns, strict=True), start=m):
        dL[h, i, j] = d2L[h, i, i, j] = d2L[i, h, i, j] = L[i, i]
    half = dL @ L.T
    crossed = np.einsum("hab,jcb->hjac", dL, dL)
    bent = d2L @ L.T + crossed
    return half + half.transpose(0, 2, 1), bent + bent.transpose(0, 1, 3, 2)


def _scaled(structure: Structure, phi: Array, m: int) -> tuple[Array, Array]:
    """By the chain rule from variances v = exp(2a) and correlations."""
    at, variances = _variances_and_correlations(structure, phi, m)
    in_these = _as_products(structure).derivatives(at, m)
    rho = at[variances:]
    slope, curve = _logistic(rho, m) if _is_symmetric(structure) else _bounded(rho)
    jacobian = np.concatenate([2 * at[:variances], slope])
    bend = np.concatenate([4 * at[:variances], curve])
    first = jacobian[:, None, None] * in_these.first
    second = np.multiply.outer(np.outer(jacobian, jacobian), np.ones((m, m))) * in_these.second
    k = len(at)
    second[np.arange(k), np.arange(k)] += bend[:, None, None] * in_these.first
    return first, second


def _bounded(rho: Array) -> tuple[Array, Array]:
    """First and second derivative of rho = theta / sqrt(1 + theta²)."""
    theta = rho / np.sqrt(1 - rho**2)
    return (1 + theta**2) ** -1.5, -3 * theta * (1 + theta**2) ** -2.5


def _logistic(rho: Array, m: int) -> tuple[Array, Array]:
    """First and second derivative of rho = (1 + a) / (1 + exp(−theta)) − a with a = 1 / (m − 1)."""
    a = 1 / max(m - 1, 1)
    share = (rho + a) / (1 + a)
    slope = (1 + a) * share * (1 - share)
    return slope, slope * (1 - 2 * share)


def _is_symmetric(structure: Structure) -> bool:
    return isinstance(structure, LinearBand | Heterogeneous) and isinstance(structure.family, CompoundSymmetry)


def _as_products(structure: Structure) -> Structure:
    """The structure as variances times correlations."""
    return Homogeneous(structure.label, structure.family) if isinstance(structure, LinearBand) else structure


def _variances_and_correlations(structure: Structure, phi: Array, m: int) -> tuple[Array, int]:
    if isinstance(structure, LinearBand):
        return np.concatenate([phi[:1], phi[1:] / phi[0]]), 1
    return phi, m if isinstance(structure, Heterogeneous) else 1
