"""The search for the random-slope covariance of greatest likelihood, covariances of lower rank included."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.covariance_map import CovarianceMap, relative
from trialscan.statistics.reml import Coarse, Optimum, Point, approach, polish
from trialscan.statistics.slope_likelihood import SlopeLikelihood

Array = NDArray[np.float64]
START_SIZES = (0.1, 1.0, 5.0)
SINGULAR = 1e-8
FLAT = 1e-9
MAX_ESCAPES = 3


@dataclass(frozen=True)
class Minimum:
    """Natural parameters of a minimum of −2 log-likelihood, and the evidence for it."""

    phi: Array
    point: Point
    singular: bool
    parameterisation: str
    bfgs_iterations: int
    newton_iterations: int
    evaluations: int


def find_minimum(likelihood: SlopeLikelihood) -> Minimum:
    """The lowest minimum reached from random effects that are small, equal and large beside the residual.

    In small trials the likelihood can have several minima, hence several starts. Where the best is on the boundary the
    conditions for a minimum there are checked, and the search goes on inside when they fail.

    Raises
    ------
    StatisticsError : no minimum was reached, or the data do not identify the covariance.
    """
    chart = CovarianceMap(slope_first=False)
    coarse = [_approach(likelihood, chart, _start(size)) for size in START_SIZES]
    phi = chart.natural(min(coarse, key=lambda found: found.value).theta)
    optima: list[Optimum] = []
    for _ in range(MAX_ESCAPES):
        chart, singular = _settle(likelihood, phi, optima)
        point = optima[-1].point
        phi = chart.natural(point.theta)
        omega = _inside(likelihood, phi) if singular else None
        if omega is None:
            if not singular:
                _refuse_flat(point)
            return Minimum(
                phi=phi,
                point=point,
                singular=singular,
                parameterisation=chart.description,
                bfgs_iterations=sum(found.iterations for found in coarse),
                newton_iterations=sum(found.iterations for found in optima),
                evaluations=sum(found.evaluations for found in coarse) + sum(found.evaluations for found in optima),
            )
        coarse.append(_approach(likelihood, chart, chart.theta(omega, float(point.theta[3]))))
        phi = chart.natural(coarse[-1].theta)
    raise StatisticsError("mixed model", "the fit did not converge: no minimum on the boundary", "a minimum")


def _start(size: float) -> Array:
    """theta of random effects of `size` times the residual standard deviation, all variance of the outcome in both."""
    return np.array([size, 0.0, size, -np.log1p(2 * size * size) / 2])


def _approach(likelihood: SlopeLikelihood, chart: CovarianceMap, start: Array) -> Coarse:
    def function(theta: Array) -> tuple[float, Array]:
        value, gradient = likelihood.first_order(chart.natural(theta))
        return value, chart.chained_gradient(theta, gradient)

    return approach(function, start, scale=float(likelihood.moments.n_obs))


def _settle(likelihood: SlopeLikelihood, phi: Array, optima: list[Optimum]) -> tuple[CovarianceMap, bool]:
    """Newton from phi, and once more from the nearest covariance of lower rank where it ends beside one.

    Adds what it finds to `optima`; returns the parameterisation of the last, and whether its covariance is singular.
    """
    chart = _polish(likelihood, relative(phi), float(np.log(phi[3])) / 2, optima)
    found = chart.natural(optima[-1].point.theta)
    values, vectors = np.linalg.eigh(relative(found))
    if values[0] > SINGULAR:
        return chart, False
    lower_rank = (vectors * np.where(values > SINGULAR, values, 0.0)) @ vectors.T
    return _polish(likelihood, lower_rank, float(np.log(found[3])) / 2, optima), True


def _polish(likelihood: SlopeLikelihood, omega: Array, log_s: float, optima: list[Optimum]) -> CovarianceMap:
    chart = CovarianceMap(slope_first=bool(omega[1, 1] > omega[0, 0]))

    def function(theta: Array) -> Point:
        at = likelihood(chart.natural(theta))
        gradient = chart.chained_gradient(theta, at.gradient)
        return Point(theta, at.value, gradient, chart.chained_hessian(theta, at.gradient, at.hessian))

    optima.append(polish(function, chart.theta(omega, log_s), scale=float(likelihood.moments.n_obs)))
    return chart


def _inside(likelihood: SlopeLikelihood, phi: Array) -> Array | None:
    """None at a minimum on the boundary; else G / s2 moved inside, where added variance helps most.

    At such a minimum the gradient in G is positive semidefinite (Karush–Kuhn–Tucker).
    """
    gradient = likelihood.first_order(phi)[1] * phi[3]
    values, vectors = np.linalg.eigh(np.array([[gradient[0], gradient[1] / 2], [gradient[1] / 2, gradient[2]]]))
    if values[0] >= -1e-6 * likelihood.moments.n_obs:
        return None
    return relative(phi) + 0.01 * np.outer(vectors[:, 0], vectors[:, 0])


def _refuse_flat(point: Point) -> None:
    values = np.linalg.eigvalsh(point.hessian)
    if values[0] <= FLAT * values[-1]:
        raise StatisticsError(
            "mixed model",
            f"the data do not identify the covariance: Hessian eigenvalues {values[0]:.3g} to {values[-1]:.3g}",
            "all above zero",
            "More patients, or fewer fixed effects between them",
        )
