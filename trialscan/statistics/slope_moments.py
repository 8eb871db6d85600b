"""What the random-slope likelihood needs of the data: small matrices, one set a patient.

Everything is held on a working scale: fixed effects in an orthonormal basis, the outcome as its least-squares residual
divided by its standard deviation, time centred and scaled. `Scales` leads back.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.design import Design
from trialscan.statistics.orthogonal import norm, orthogonalise

Array = NDArray[np.float64]
LINE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Scales:
    """y = y_scale · y* + Q b, t = time_center + time_scale · t*, log|R| of X = Q R."""

    ols: Array
    y_scale: float
    time_center: float
    time_scale: float
    log_det_r: float


@dataclass(frozen=True)
class SlopeMoments:
    """What is left of W = [Q, y*] (N, p + 1) when each patient's own straight line is taken out, and the lines.

    Z_i = [1, t*] = O_i T_i with orthonormal O_i. counts (n,) rows; T (2, 2, n) upper triangular, its second row zero
    for a patient seen at one time only; b (2, p + 1, n) = O'W; S (p + 1, p + 1) = W'(I − OO')W over all rows. Patients
    stand last, so that sums over them run through contiguous memory.
    """

    counts: Array
    T: Array
    b: Array
    S: Array

    @property
    def n_obs(self) -> int:
        """Rows in all."""
        return int(self.counts.sum())

    @property
    def n_fixed(self) -> int:
        """Fixed effects."""
        return len(self.S) - 1


def slope_moments(design: Design) -> tuple[SlopeMoments, Scales]:
    """Moments of a design, or StatisticsError where intercepts and slopes cannot be told from the residual.

    That is so when times do not vary, when no patient has more rows than its own line takes up, and when every
    patient's values lie exactly on its line.
    """
    Q = design.basis.Q
    ols, rest = _least_squares(Q, design.y)
    y_scale = norm(rest) / np.sqrt(len(rest) - Q.shape[1])
    center = float(np.mean(design.time))
    spread = design.time - center
    time_scale = norm(spread) / np.sqrt(len(spread))
    if np.ptp(design.time) == 0:
        raise StatisticsError("time", f"{design.time[0]:g} in every row", "at least two different times")
    t = spread / time_scale
    W = np.column_stack([Q, rest / y_scale])
    lines = _Lines.of(t, W, design.first_row)
    _refuse_saturated(design, lines, W)
    moments = SlopeMoments(lines.counts, lines.T, lines.b, np.einsum("na,nb->ab", lines.rest, lines.rest))
    log_det_r = float(np.sum(np.log(np.diag(design.basis.R))))
    return moments, Scales(ols, float(y_scale), center, float(time_scale), log_det_r)


@dataclass(frozen=True)
class _Lines:
    """Each patient's least-squares line through the columns of W, and the rest (N, p + 1)."""

    counts: Array
    T: Array
    b: Array
    rest: Array
    rank: int

    @classmethod
    def of(cls, t: Array, W: Array, first_row: NDArray[np.intp]) -> "_Lines":
        counts = np.diff(np.append(first_row, len(t)))
        root = np.sqrt(counts)
        mean_t = np.add.reduceat(t, first_row) / counts
        around = t - np.repeat(mean_t, counts)
        spread = np.sqrt(np.add.reduceat(around * around, first_row))
        varies = spread > LINE_TOLERANCE * np.max(spread)
        along = around / np.repeat(np.where(varies, spread, np.inf), counts)
        sums = np.add.reduceat(W, first_row, axis=0) / root[:, None]
        rest = W - np.repeat(sums / root[:, None], counts, axis=0)
        slopes = np.add.reduceat(along[:, None] * rest, first_row, axis=0)
        rest = rest - along[:, None] * np.repeat(slopes, counts, axis=0)
        zero = np.zeros_like(spread)
        T = np.array([[root, root * mean_t], [zero, np.where(varies, spread, 0.0)]])
        b = np.ascontiguousarray(np.stack([sums.T, slopes.T]))
        return cls(counts.astype(np.float64), T, b, rest, len(counts) + int(varies.sum()))


def _least_squares(Q: Array, y: Array) -> tuple[Array, Array]:
    coefficients = np.zeros(Q.shape[1])
    rest = y.copy()
    for _ in range(2):
        for index, column in enumerate(Q.T):
            share = float(np.sum(column * rest))
            coefficients[index] += share
            rest -= share * column
    return coefficients, rest


def _refuse_saturated(design: Design, lines: _Lines, W: Array) -> None:
    """What the patients' own lines leave must have degrees of freedom, and variance, for the residual variance."""
    taken = orthogonalise(np.where(np.abs(lines.rest[:, :-1]) > LINE_TOLERANCE, lines.rest[:, :-1], 0.0))
    degrees = len(W) - lines.rank - len(taken.kept)
    if degrees < 1:
        raise StatisticsError(
            f"formula {design.formula!r}",
            f"{len(W)} rows, all of which the {len(design.patients)} patients' own intercepts and slopes take up",
            "patients with at least three different times",
        )
    _, rest = _least_squares(taken.Q, lines.rest[:, -1])
    if norm(rest) <= LINE_TOLERANCE * norm(W[:, -1]):
        raise StatisticsError(
            f"formula {design.formula!r}",
            "every patient's values lie exactly on a straight line",
            "a residual variance above zero",
        )
