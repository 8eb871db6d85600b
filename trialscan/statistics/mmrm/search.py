"""The search for the covariance of greatest likelihood: scoring where the surface bends the wrong way, else Newton.

Both walk in the natural parameters. A step is the Newton step where the exact Hessian is positive definite, else that
of the expected Hessian (Fisher scoring; Jennrich & Schluchter 1986), halved until the value falls; outside the positive
definite matrices the value is infinite.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.mmrm.likelihood import Evaluation, MmrmLikelihood, Solution
from trialscan.statistics.mmrm.moments import Patterns

Array = NDArray[np.float64]
MAX_STEPS = 200
MAX_HALVINGS = 40
GRADIENT_TOLERANCE = 1e-8
METHOD = "Newton with the exact Hessian, Fisher scoring where it is not positive definite, natural parameters"
DEFINITE = 1e-10
STARTS = (0.0, 0.5)


@dataclass(frozen=True)
class Minimum:
    """A minimum of −2 log-likelihood: parameters, everything there, and the way to it."""

    phi: Array
    at: Evaluation
    hessian_eigenvalues: Array
    relative_gradient: float
    newton_steps: int
    scoring_steps: int
    evaluations: int


def find_minimum(likelihood: MmrmLikelihood, start: Array | None = None) -> Minimum:
    """The lowest minimum reached from uncorrelated and from correlated visits, or that near `start` where it is given.

    Raises
    ------
    StatisticsError : the search ended where the gradient is not zero or the Hessian is not positive definite.
    """
    if start is not None:
        return _descend(likelihood, start)
    found, faults = [], []
    for correlation in STARTS:
        try:
            found.append(_descend(likelihood, _start(likelihood, correlation)))
        except StatisticsError as error:
            faults.append(error)
    if not found:
        raise faults[0]
    return min(found, key=lambda minimum: minimum.at.value)


def _start(likelihood: MmrmLikelihood, correlation: float) -> Array:
    """Least-squares variances of each visit, with all visits correlated alike (as far as the structure can)."""
    parts = []
    for patterns in likelihood.moments.groups:
        variances = _variances(patterns)
        phi = likelihood.structure.independence(variances)
        if correlation:
            at = likelihood.structure.derivatives(phi, len(variances))
            target = np.sqrt(np.outer(variances, variances)) * np.where(np.eye(len(variances)), 1.0, correlation)
            phi = phi + np.linalg.lstsq(at.first.reshape(len(phi), -1).T, (target - at.S).ravel(), rcond=None)[0]
        parts.append(phi)
    return np.concatenate(parts)


def _variances(patterns: Patterns) -> Array:
    """Mean squared residual of each visit; visits that a group lacks take the mean of the others."""
    total, count = np.zeros(patterns.n_visits), np.zeros(patterns.n_visits)
    for index, seen in enumerate(patterns.observed):
        rows = patterns.rows[patterns.first[index] : patterns.first[index + 1], -1].reshape(-1, int(seen.sum()))
        total[seen] += np.sum(rows**2, axis=0)
        count[seen] += len(rows)
    with np.errstate(invalid="ignore"):
        variances = total / count
    mean = np.nansum(total) / np.sum(count)
    return np.where(count > 0, np.maximum(variances, 1e-3 * mean), mean)


def _descend(likelihood: MmrmLikelihood, phi: Array) -> Minimum:
    newton = scoring = evaluations = 0
    phi = _inside(likelihood, phi)
    at = likelihood(phi)
    scale = float(likelihood.moments.n_obs)
    for _ in range(MAX_STEPS):
        step, exact = _step(at)
        promised = float(-at.gradient @ step) / 2
        found = _line(likelihood, phi, step, at.value, scale)
        evaluations += 1
        if found is None:
            break
        newton, scoring = newton + exact, scoring + (not exact)
        moved = likelihood(*found)
        gained = at.value - moved.value
        worse = float(np.max(np.abs(moved.gradient))) >= float(np.max(np.abs(at.gradient)))
        if exact and promised <= 1e-13 * scale and gained <= 1e-13 * scale and worse:
            break
        phi, at = found[0], moved
    return _checked(likelihood, phi, at, (newton, scoring, evaluations))


def _inside(likelihood: MmrmLikelihood, phi: Array) -> Array:
    """phi, or its uncorrelated part where phi itself is no covariance."""
    return phi if np.isfinite(likelihood.solve(phi).value) else _start(likelihood, 0.0)


def _step(at: Evaluation) -> tuple[Array, bool]:
    """The Newton step where the exact Hessian is positive definite, else the scoring step; and which it is."""
    size, values, vectors = _spectrum(at.hessian)
    exact = bool(values[0] > DEFINITE * values[-1])
    if not exact:
        size, values, vectors = _spectrum(at.expected)
        values = np.maximum(values, DEFINITE * max(float(values[-1]), 1e-300))
    return -(vectors @ ((vectors.T @ (at.gradient / size)) / values)) / size, exact


def _spectrum(matrix: Array) -> tuple[Array, Array, Array]:
    """The root of the diagonal, and eigenvalues and eigenvectors of the matrix scaled by it."""
    size = np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    values, vectors = np.linalg.eigh(matrix / np.outer(size, size))
    return size, values, vectors


def _line(
    likelihood: MmrmLikelihood, phi: Array, step: Array, value: float, scale: float
) -> tuple[Array, Solution] | None:
    """The first of step, step/2, … that does not raise the value beyond rounding, and the solution there."""
    for halving in range(MAX_HALVINGS):
        candidate = phi + step * 0.5**halving
        solved = likelihood.solve(candidate)
        if solved.value <= value + 1e-13 * scale:
            return candidate, solved
    return None


def _checked(likelihood: MmrmLikelihood, phi: Array, at: Evaluation, steps: tuple[int, int, int]) -> Minimum:
    """The minimum, or StatisticsError where this is none."""
    size = np.sqrt(np.maximum(np.abs(np.diag(at.expected)), 1e-300))
    gradient = float(np.max(np.abs(at.gradient / size)) / np.sqrt(likelihood.moments.n_obs))
    values = np.asarray(np.linalg.eigvalsh(at.hessian / np.outer(size, size)))
    if not gradient <= GRADIENT_TOLERANCE or values[0] <= DEFINITE * values[-1]:
        raise StatisticsError(
            "mixed model",
            f"the fit did not converge: relative gradient {gradient:.3g}, "
            f"Hessian eigenvalues {values[0]:.3g} to {values[-1]:.3g} after {sum(steps[:2])} steps",
            f"a gradient of at most {GRADIENT_TOLERANCE:g} and eigenvalues above zero",
            "Take a covariance with fewer parameters, or look for outlying values",
        )
    return Minimum(phi, at, values, gradient, *steps)
