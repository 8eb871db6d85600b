"""What an unobserved course would have been after an intercurrent event: mean vectors by strategy.

The names are those of Carpenter, Roger & Kenward (2013) and of R's rbmi: MAR (the hypothetical strategy of ICH E9(R1),
as if the event had not happened), jump to reference (JR), copy increments from reference (CIR), copy reference (CR)
and last mean carried forward (LMCF); the latter four are treatment-policy or hypothetical strategies under which the
benefit of treatment ends, fades or never was.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import StatisticsError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Marginal:
    """Means (n, m) of each patient in the own arm and, with the same covariates, in the reference arm.

    `after` (n, m) is true from the first visit that an intercurrent event affects to the last.
    """

    own: Array
    reference: Array
    after: NDArray[np.bool_]


Strategy = Callable[[Marginal], Array]


def _mar(of: Marginal) -> Array:
    return of.own


def _jump_to_reference(of: Marginal) -> Array:
    return np.where(of.after, of.reference, of.own)


def _copy_increments(of: Marginal) -> Array:
    last_own, last_reference = _at_last_before(of.own, of.after), _at_last_before(of.reference, of.after)
    carried = np.where(np.isnan(last_own), of.reference, last_own + (of.reference - last_reference))
    return np.where(of.after, carried, of.own)


def _copy_reference(of: Marginal) -> Array:
    return np.where(of.after.any(axis=1, keepdims=True), of.reference, of.own)


def _last_mean(of: Marginal) -> Array:
    last = _at_last_before(of.own, of.after)
    return np.where(of.after & ~np.isnan(last), last, of.own)


def _at_last_before(means: Array, after: NDArray[np.bool_]) -> Array:
    """Each patient's mean (n, 1) at the last visit before the event; NaN where the event came before every visit."""
    before = np.sum(~after, axis=1) - 1
    last = np.take_along_axis(means, np.maximum(before, 0)[:, None], axis=1)
    return np.where(before[:, None] >= 0, last, np.nan)


STRATEGIES: dict[str, Strategy] = {
    "MAR": _mar,
    "JR": _jump_to_reference,
    "CIR": _copy_increments,
    "CR": _copy_reference,
    "LMCF": _last_mean,
}


def course(name: str, of: Marginal) -> Array:
    """Marginal means (n, m) under a strategy.

    Where the event came before the first visit, CIR follows the reference and LMCF the own mean.

    Raises
    ------
    StatisticsError : an unknown strategy.
    """
    if name not in STRATEGIES:
        raise StatisticsError(f"strategy {name!r}", "not known", f"one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name](of)
