"""Minimisation of −2 log-likelihood: BFGS to the neighbourhood, Newton with the exact Hessian to the last digit."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from trialscan.errors import StatisticsError

Array = NDArray[np.float64]
GRADIENT_TOLERANCE = 1e-8
MAX_BFGS = 500
MAX_NEWTON = 100
MAX_HALVINGS = 40
METHOD = "BFGS with the exact gradient, then Newton with the exact Hessian"


@dataclass(frozen=True)
class Point:
    """A function's value, gradient and Hessian at theta."""

    theta: Array
    value: float
    gradient: Array
    hessian: Array

    @property
    def gradient_norm(self) -> float:
        """Largest absolute element of the gradient."""
        return float(np.max(np.abs(self.gradient)))


@dataclass(frozen=True)
class Optimum:
    """A stationary point and the Newton steps that led to it."""

    point: Point
    iterations: int
    evaluations: int


@dataclass(frozen=True)
class Coarse:
    """Where BFGS ended."""

    theta: Array
    value: float
    iterations: int
    evaluations: int


def approach(function: Callable[[Array], tuple[float, Array]], start: Array, *, scale: float) -> Coarse:
    """BFGS on a function that returns value and gradient, to a gradient of 1e-5 · scale or as near as it comes."""
    found = minimize(function, start, jac=True, method="BFGS", options={"gtol": 1e-5 * scale, "maxiter": MAX_BFGS})
    return Coarse(np.asarray(found.x, dtype=np.float64), float(found.fun), int(found.nit), int(found.nfev))


def polish(function: Callable[[Array], Point], theta: Array, *, scale: float) -> Optimum:
    """Newton's method from nearby.

    `scale` is the size of the function (for a log-likelihood the number of rows): a gradient counts as zero below
    1e-8 · scale. Newton goes on past that while it gains, so most fits end near rounding error.

    Raises
    ------
    StatisticsError : no stationary point was reached.
    """
    counted = _Counted(function)
    point, iterations = _newton(counted, counted(theta), scale)
    if not point.gradient_norm <= GRADIENT_TOLERANCE * scale:
        raise StatisticsError(
            "mixed model",
            f"the fit did not converge: gradient {point.gradient_norm:.3g} after {iterations} Newton steps",
            f"at most {GRADIENT_TOLERANCE * scale:.3g}",
            "Look for outlying values, or use a simpler model",
        )
    return Optimum(point, iterations, counted.calls)


class _Counted:
    """A function that counts its calls."""

    def __init__(self, function: Callable[[Array], Point]) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, theta: Array) -> Point:
        self.calls += 1
        return self.function(theta)


def _newton(function: _Counted, point: Point, scale: float) -> tuple[Point, int]:
    """Newton steps until the gain they promise is below rounding error, or none can be had."""
    for iteration in range(MAX_NEWTON):
        step, gain = _newton_step(point)
        if point.gradient_norm <= GRADIENT_TOLERANCE * scale and gain <= 1e-18 * scale:
            return point, iteration
        lower = _descend(function, point, step, scale)
        if lower is None:
            return point, iteration
        point = lower
    return point, MAX_NEWTON


def _newton_step(point: Point) -> tuple[Array, float]:
    """The step and the gain it promises; eigenvalues of the Hessian count by magnitude, so that saddles repel."""
    values, vectors = np.linalg.eigh(point.hessian)
    size = np.abs(values)
    size = np.maximum(size, 1e-9 * max(float(np.max(size)), 1e-300))
    along = vectors.T @ point.gradient
    return -(vectors @ (along / size)), float(np.sum(along * along / size)) / 2


def _descend(function: _Counted, point: Point, step: Array, scale: float) -> Point | None:
    """The first of step, step/2, … that lowers the value, or at an equal value the gradient."""
    for halving in range(MAX_HALVINGS):
        candidate = function(point.theta + step * 0.5**halving)
        if candidate.value < point.value - 1e-14 * scale:
            return candidate
        if candidate.value <= point.value + 1e-13 * scale and candidate.gradient_norm < point.gradient_norm:
            return candidate
    return None
