"""Covariance structures of repeated visits in natural parameters, as SAS PROC MIXED has them.

Natural are variances with correlations (csh, toeph, ar1, ar1h, ad, adh), or variances with covariances where the
matrix is linear in them (us, cs, toep). Kenward–Roger's adjustment depends on this choice of parameters.
"""

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.covariance.correlations import (
    Antedependence,
    Autoregressive,
    CompoundSymmetry,
    Correlation,
    Toeplitz,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Derivatives:
    """A covariance matrix S (m, m) with dS (k, m, m) and d²S (k, k, m, m) in its k parameters."""

    S: Array
    first: Array
    second: Array


class Structure(Protocol):
    """A family of covariance matrices."""

    @property
    def label(self) -> str:
        """The structure's name in words."""

    def count(self, m: int) -> int:
        """How many parameters m visits take."""

    def independence(self, variances: Array) -> Array:
        """Parameters of uncorrelated visits with these variances (m,), or their mean where there is one variance."""

    def scales(self, m: int) -> NDArray[np.bool_]:
        """Which of the parameters (k,) are variances or covariances, and so scale with the outcome squared."""

    def derivatives(self, phi: Array, m: int) -> Derivatives:
        """The covariance at natural parameters phi (k,)."""


@dataclass(frozen=True)
class Unstructured:
    """Every variance and covariance free; phi holds the lower triangle row by row."""

    label: str = "unstructured"

    def count(self, m: int) -> int:
        """All pairs of visits."""
        return m * (m + 1) // 2

    def independence(self, variances: Array) -> Array:
        """Zero covariances."""
        return np.diag(variances)[np.tril_indices(len(variances))]

    def scales(self, m: int) -> NDArray[np.bool_]:
        """All."""
        return np.ones(self.count(m), dtype=bool)

    def derivatives(self, phi: Array, m: int) -> Derivatives:
        """Linear."""
        basis, zero = _triangle(m)
        return Derivatives(np.asarray(np.tensordot(phi, basis, axes=1)), basis, zero)


@dataclass(frozen=True)
class LinearBand:
    """One variance, and covariances linear in the parameters of a linear correlation family: cs and toep."""

    label: str
    family: CompoundSymmetry | Toeplitz

    def count(self, m: int) -> int:
        """The variance and the covariances."""
        return 1 + self.family.count(m)

    def independence(self, variances: Array) -> Array:
        """Zero covariances."""
        return np.concatenate([[np.mean(variances)], np.zeros(self.family.count(len(variances)))])

    def scales(self, m: int) -> NDArray[np.bool_]:
        """All."""
        return np.ones(self.count(m), dtype=bool)

    def derivatives(self, phi: Array, m: int) -> Derivatives:
        """Linear."""
        _, bands, _ = self.family.derivatives(np.zeros(self.family.count(m)), m)
        basis = np.concatenate([np.eye(m)[None], bands])
        return Derivatives(np.asarray(np.tensordot(phi, basis, axes=1)), basis, np.zeros((len(phi), *basis.shape)))


@dataclass(frozen=True)
class Homogeneous:
    """One variance times a correlation family: phi = (variance, rho…)."""

    label: str
    family: Correlation

    def count(self, m: int) -> int:
        """The variance and the correlations."""
        return 1 + self.family.count(m)

    def independence(self, variances: Array) -> Array:
        """Zero correlations."""
        return np.concatenate([[np.mean(variances)], np.zeros(self.family.count(len(variances)))])

    def scales(self, m: int) -> NDArray[np.bool_]:
        """The variance."""
        return np.arange(self.count(m)) < 1

    def derivatives(self, phi: Array, m: int) -> Derivatives:
        """Products of the variance with the correlations' derivatives."""
        variance, (R, dR, d2R) = phi[0], self.family.derivatives(phi[1:], m)
        k = len(phi)
        second = np.zeros((k, k, m, m))
        second[1:, 1:] = variance * d2R
        second[0, 1:] = second[1:, 0] = dR
        return Derivatives(np.asarray(variance * R), np.concatenate([R[None], variance * dR]), second)


@dataclass(frozen=True)
class Heterogeneous:
    """A variance for each visit with a correlation family: phi = (variances…, rho…)."""

    label: str
    family: Correlation

    def count(self, m: int) -> int:
        """The variances and the correlations."""
        return m + self.family.count(m)

    def independence(self, variances: Array) -> Array:
        """Zero correlations."""
        return np.concatenate([variances, np.zeros(self.family.count(len(variances)))])

    def scales(self, m: int) -> NDArray[np.bool_]:
        """The variances."""
        return np.arange(self.count(m)) < m

    def derivatives(self, phi: Array, m: int) -> Derivatives:
        """S_ij = sqrt(v_i v_j) R_ij; share[a] counts how often visit a is among i, j, over 2 v_a."""
        variances, (R, dR, d2R) = phi[:m], self.family.derivatives(phi[m:], m)
        with np.errstate(invalid="ignore"):
            scale = np.sqrt(np.outer(variances, variances))
        unit = np.eye(m)
        share = (unit[:, :, None] + unit[:, None, :]) / (2 * variances[:, None, None])
        S = scale * R
        twice = share[:, None] * share[None, :]
        twice[np.arange(m), np.arange(m)] -= share / variances[:, None, None]
        k = len(phi)
        second = np.zeros((k, k, m, m))
        second[:m, :m] = twice * S
        second[:m, m:] = share[:, None] * (scale * dR)[None]
        second[m:, :m] = second[:m, m:].transpose(1, 0, 2, 3)
        second[m:, m:] = scale * d2R
        return Derivatives(np.asarray(S), np.concatenate([share * S, scale * dR]), second)


@cache
def _triangle(m: int) -> tuple[Array, Array]:
    """The derivatives of a symmetric matrix in its lower triangle, (k, m, m), and second ones, all zero; read-only."""
    rows, columns = np.tril_indices(m)
    basis = np.zeros((len(rows), m, m))
    basis[np.arange(len(rows)), rows, columns] = 1.0
    basis[np.arange(len(rows)), columns, rows] = 1.0
    zero = np.zeros((len(rows), *basis.shape))
    for array in (basis, zero):
        array.setflags(write=False)
    return basis, zero


STRUCTURES: dict[str, Structure] = {
    "us": Unstructured(),
    "toeph": Heterogeneous("heterogeneous Toeplitz", Toeplitz()),
    "toep": LinearBand("homogeneous Toeplitz", Toeplitz()),
    "ar1h": Heterogeneous("heterogeneous first-order autoregressive", Autoregressive()),
    "ar1": Homogeneous("homogeneous first-order autoregressive", Autoregressive()),
    "csh": Heterogeneous("heterogeneous compound symmetry", CompoundSymmetry()),
    "cs": LinearBand("homogeneous compound symmetry", CompoundSymmetry()),
    "adh": Heterogeneous("heterogeneous first-order ante-dependence", Antedependence()),
    "ad": Homogeneous("homogeneous first-order ante-dependence", Antedependence()),
}


def structure_named(name: str) -> Structure:
    """A structure by its short name; raises StatisticsError for an unknown one."""
    if name not in STRUCTURES:
        raise StatisticsError(f"covariance={name!r}", "no such structure", f"one of {', '.join(STRUCTURES)}")
    return STRUCTURES[name]
