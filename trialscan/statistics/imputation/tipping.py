"""Delta adjustment: how much worse imputed outcomes must be before a conclusion turns (tipping point).

Delta is added to every imputed outcome of the shifted arms after imputation (Carpenter & Kenward 2013, chapter 10;
Cro et al. 2020). Conditional means and least squares are linear in it, so that the estimate and every jackknife
replicate is a straight line in delta and one jackknife serves all deltas exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq

from trialscan.errors import StatisticsError
from trialscan.statistics.imputation.analysis import ReferenceBasedResult
from trialscan.statistics.imputation.pooled import Pooled

Array = NDArray[np.float64]
Shifted = Literal["non_reference", "all"]


@dataclass(frozen=True)
class TippingPoint:
    """One arm against the reference at one visit, as a function of delta.

    `grid` has a row each delta: estimate, se, z (or df and t), p, lower, upper, indexed by delta. `tipping_delta` is
    where the two-sided p crosses alpha, the crossing nearest to zero within the grid; None where there is none. `note`
    says what turns there.
    """

    arm: str
    comparator: str
    visit: str
    n_shifted: int
    grid: pd.DataFrame
    tipping_delta: float | None
    note: str


def tipping_points(
    result: ReferenceBasedResult,
    deltas: Sequence[float],
    *,
    strategy: str = "MAR",
    visit: str | None = None,
    shifted: Shifted = "non_reference",
) -> tuple[TippingPoint, ...]:
    """The comparison of every arm with the reference under each delta.

    Parameters
    ----------
    result : from `reference_based`, with `strategy` among its strategies.
    deltas : rising, on the scale of the outcome. visit : None takes the last.
    shifted : delta is added to imputed outcomes of all arms but the reference ("non_reference"), or of "all".

    Raises
    ------
    StatisticsError : a strategy or visit that the result lacks; deltas that are not two or more rising finite numbers.
    """
    problem = result.problem
    grid = _grid(deltas)
    if strategy not in result.estimates:
        raise StatisticsError(f"strategy {strategy!r}", "not imputed", f"one of {', '.join(result.estimates)}")
    chosen = problem.visits[-1] if visit is None else visit
    if chosen not in problem.visits:
        raise StatisticsError(f"visit {chosen!r}", "not known", f"one of {', '.join(problem.visits)}")
    if shifted not in ("non_reference", "all"):
        raise StatisticsError("shifted", f"{shifted!r}", "'non_reference' or 'all'")
    place = problem.visits.index(chosen)
    moved = problem.missing & ((shifted == "all") | (problem.arm_of != 0))[:, None]
    under = result.estimates[strategy].under(moved.astype(np.float64))
    found = []
    for index, arm in enumerate(problem.arms[1:]):
        curve = _Curve(under, index, place, result.alpha)
        table = pd.concat([curve(delta).table(pd.Index([delta], name="delta"), result.alpha) for delta in grid])
        tip, note = _tipping(curve, grid, int(moved[:, place].sum()), chosen)
        found.append(TippingPoint(arm, problem.arms[0], chosen, int(moved[:, place].sum()), table, tip, note))
    return tuple(found)


@dataclass(frozen=True)
class _Curve:
    """One difference of the completed data as a function of delta."""

    under: Callable[[float], Pooled]
    arm: int
    visit: int
    alpha: float

    def __call__(self, delta: float) -> Pooled:
        """The difference, arrays of one element."""
        return self.under(delta).part((slice(self.arm, self.arm + 1), self.visit))

    def excess(self, delta: float) -> float:
        """|estimate| less the least that is significant: above zero where p < alpha."""
        at = self(delta)
        return float((np.abs(at.estimate) - at.critical(self.alpha) * at.se)[0])

    def zero(self) -> float:
        """The delta at which the difference vanishes; infinite where delta does not change it."""
        start, step = float(self(0.0).estimate[0]), float((self(1.0).estimate - self(0.0).estimate)[0])
        return -start / step if step else np.inf


def _grid(deltas: Sequence[float]) -> list[float]:
    values = np.asarray(deltas, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all() or np.any(np.diff(values) <= 0):
        raise StatisticsError("deltas", f"{list(deltas)}", "two or more rising numbers")
    return [float(value) for value in values]


def _tipping(curve: _Curve, grid: Sequence[float], n_shifted: int, visit: str) -> tuple[float | None, str]:
    low, high = grid[0], grid[-1]
    if not n_shifted:
        return None, f"no outcome at {visit} is imputed in the shifted arms, so that delta changes nothing"
    start = min(max(0.0, low), high)
    points = sorted({*grid, start, *(each for each in (curve.zero(),) if low < each < high)})
    found = [_root(curve, a, b) for a, b in pairwise(points) if _changes(curve, a, b)]
    state = f"the difference is {'' if curve.excess(start) > 0 else 'not '}significant at delta {start:.6g}"
    if not found:
        return None, f"{state}; a tipping point is not reached in [{low:.6g}, {high:.6g}]"
    tip = min(found, key=lambda delta: (abs(delta - start), delta))
    others = [f"{delta:.6g}" for delta in found if delta != tip]
    more = f"; p crosses alpha at {', '.join(others)} too" if others else ""
    turned = "no longer beyond" if curve.excess(start) > 0 else "becomes so beyond"
    return tip, f"{state} and {turned} {tip:.6g}{more}"


def _changes(curve: _Curve, low: float, high: float) -> bool:
    return (curve.excess(low) > 0) != (curve.excess(high) > 0)


def _root(curve: _Curve, low: float, high: float) -> float:
    return float(brentq(curve.excess, low, high, xtol=1e-12 * (high - low), rtol=1e-14))
