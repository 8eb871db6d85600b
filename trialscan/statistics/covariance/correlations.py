"""Families of correlation between visits: R(rho) (m, m) with first and second derivatives in rho.

Distances are in visits, not days, as in SAS PROC MIXED's TOEP, AR(1), CS and ANTE(1).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Correlation(Protocol):
    """How the correlation of two visits follows from a few parameters, all zero at independence."""

    def count(self, m: int) -> int:
        """How many parameters m visits take."""

    def derivatives(self, rho: Array, m: int) -> tuple[Array, Array, Array]:
        """R (m, m), dR (k, m, m) and d²R (k, k, m, m)."""


@dataclass(frozen=True)
class CompoundSymmetry:
    """One correlation for every pair of visits."""

    def count(self, m: int) -> int:
        """One, where there are pairs."""
        return min(m - 1, 1)

    def derivatives(self, rho: Array, m: int) -> tuple[Array, Array, Array]:
        """Linear in rho."""
        return _linear(rho, np.ones((self.count(m), m, m)) - np.eye(m))


@dataclass(frozen=True)
class Toeplitz:
    """One correlation for each distance."""

    def count(self, m: int) -> int:
        """The distances 1 … m − 1."""
        return m - 1

    def derivatives(self, rho: Array, m: int) -> tuple[Array, Array, Array]:
        """Linear in rho."""
        distance = _distance(m)
        return _linear(rho, np.array([distance == lag for lag in range(1, m)], dtype=np.float64).reshape(-1, m, m))


@dataclass(frozen=True)
class Autoregressive:
    """rho to the power of the distance."""

    def count(self, m: int) -> int:
        """One, where there are pairs."""
        return min(m - 1, 1)

    def derivatives(self, rho: Array, m: int) -> tuple[Array, Array, Array]:
        """Powers and their derivatives, exact at rho = 0 too."""
        if m == 1:
            return _linear(rho, np.zeros((0, 1, 1)))
        d, r = _distance(m), float(rho[0])
        first = d * r ** np.maximum(d - 1, 0)
        second = d * (d - 1) * r ** np.maximum(d - 2, 0)
        return np.asarray(r**d, dtype=np.float64), first[None], second[None, None]


@dataclass(frozen=True)
class Antedependence:
    """The product of the correlations of neighbours between two visits (first order; Gabriel 1962)."""

    def count(self, m: int) -> int:
        """One for each pair of neighbours."""
        return m - 1

    def derivatives(self, rho: Array, m: int) -> tuple[Array, Array, Array]:
        """Products without one or two of their factors."""
        k = m - 1
        low, high = np.minimum(*np.indices((m, m))), np.maximum(*np.indices((m, m)))
        between = np.array([(low <= step) & (step < high) for step in range(k)]).reshape(k, m, m)

        def product(without: tuple[int, ...]) -> Array:
            factors = [np.where(between[step], rho[step], 1.0) for step in range(k) if step not in without]
            return np.prod(factors, axis=0) if factors else np.ones((m, m))

        first = np.array([between[a] * product((a,)) for a in range(k)]).reshape(k, m, m)
        second = np.zeros((k, k, m, m))
        for a in range(k):
            for b in range(a):
                second[a, b] = second[b, a] = between[a] * between[b] * product((a, b))
        return product(()), first, second


def _distance(m: int) -> NDArray[np.int64]:
    i, j = np.indices((m, m))
    distance: NDArray[np.int64] = np.abs(i - j)
    return distance


def _linear(rho: Array, basis: Array) -> tuple[Array, Array, Array]:
    k, m = len(basis), basis.shape[-1]
    return np.eye(m) + np.tensordot(rho[:k], basis, axes=1), basis, np.zeros((k, k, m, m))
