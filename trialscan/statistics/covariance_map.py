"""Parameters of optimisation for the random-slope covariance, and the way back to natural parameters.

theta = (l11, l21, l22, log s) with s2 = s² and G = s² L L', L lower triangular. L is not made positive by a logarithm:
a covariance of lower rank is then an ordinary point, the objective is smooth across it, and a fit on the boundary
ends with a gradient of zero like any other. The larger of the two variances stands first, as in a pivoted Cholesky
factorisation: were it (nearly) zero, l21 and l22 could not be told apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SWAPPED = [2, 1, 0, 3]


@dataclass(frozen=True)
class CovarianceMap:
    """Between theta and the natural parameters (g11, g12, g22, s2), the slope standing first or not."""

    slope_first: bool

    @property
    def description(self) -> str:
        """For the record of a fit."""
        order = "slope, intercept" if self.slope_first else "intercept, slope"
        return f"relative Cholesky factor L of G ({order}) and log sigma: G = sigma^2 L L'"

    def natural(self, theta: Array) -> Array:
        """(g11, g12, g22, s2) at theta."""
        return self._ordered(_natural(theta))

    def chained_gradient(self, theta: Array, gradient: Array) -> Array:
        """Gradient in theta from that in natural parameters."""
        return np.asarray(_jacobian(theta).T @ self._ordered(gradient))

    def chained_hessian(self, theta: Array, gradient: Array, hessian: Array) -> Array:
        """Hessian in theta from both derivatives in natural parameters, by the exact second-order chain rule."""
        J, ordered = _jacobian(theta), self._ordered(gradient)
        g11, g12, g22, _ = np.exp(2 * theta[3]) * ordered
        curvature = np.zeros((4, 4))
        curvature[:3, :3] = [[2 * g11, g12, 0.0], [g12, 2 * g22, 0.0], [0.0, 0.0, 2 * g22]]
        curvature[3, :] = curvature[:, 3] = 2 * (J.T @ ordered)
        inner = hessian[np.ix_(_SWAPPED, _SWAPPED)] if self.slope_first else hessian
        return np.asarray(J.T @ inner @ J + curvature)

    def theta(self, omega: Array, log_s: float) -> Array:
        """theta of G = s² omega for a positive semidefinite omega (2, 2), singular or not."""
        ordered = omega[::-1, ::-1] if self.slope_first else omega
        a = np.sqrt(max(ordered[0, 0], 0.0))
        b = ordered[0, 1] / a if a > 0 else 0.0
        return np.array([a, b, np.sqrt(max(ordered[1, 1] - b * b, 0.0)), log_s])

    def _ordered(self, values: Array) -> Array:
        return np.asarray(values[_SWAPPED]) if self.slope_first else values


def relative(phi: Array) -> Array:
    """G / s2 (2, 2) of natural parameters."""
    return np.asarray(np.array([[phi[0], phi[1]], [phi[1], phi[2]]]) / phi[3])


def _natural(theta: Array) -> Array:
    a, b, c, log_s = theta
    return np.asarray(np.exp(2 * log_s) * np.array([a * a, a * b, b * b + c * c, 1.0]))


def _jacobian(theta: Array) -> Array:
    """d natural / d theta, (4 natural, 4 theta)."""
    a, b, c, log_s = theta
    of_factor = np.array([[2 * a, 0.0, 0.0], [b, a, 0.0], [0.0, 2 * b, 2 * c], [0.0, 0.0, 0.0]])
    return np.column_stack([np.exp(2 * log_s) * of_factor, 2 * _natural(theta)])
