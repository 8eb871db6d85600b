"""Adjustment of p values for several comparisons, and orders of testing."""

from collections.abc import Mapping, Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests

from trialscan.errors import StatisticsError

METHODS = {"bonferroni": "bonferroni", "holm": "holm", "hochberg": "simes-hochberg", "hommel": "hommel"}


def adjust_p(p: Mapping[str, float], method: str) -> dict[str, float]:
    """Adjusted p values by name: bonferroni, holm (1979), hochberg (1988), hommel (1988) or fixed-sequence.

    `p` is in the declared order, which matters to the fixed sequence alone.

    Raises
    ------
    StatisticsError : an unknown method; a p value outside 0 … 1.
    """
    for name, value in p.items():
        if not 0 <= value <= 1:
            raise StatisticsError(f"p value of {name!r}", f"{value!r}", "a number between 0 and 1")
    if method == "fixed-sequence":
        return fixed_sequence(p)
    if method not in METHODS:
        raise StatisticsError(f"method {method!r}", "not known", f"one of {', '.join([*METHODS, 'fixed-sequence'])}")
    if not p:
        return {}
    adjusted = multipletests(list(p.values()), method=METHODS[method])[1]
    return dict(zip(p, map(float, np.minimum(adjusted, 1.0)), strict=True))


def fixed_sequence(p: Mapping[str, float]) -> dict[str, float]:
    """Tested in the declared order, each after all before it (Maurer, Hothorn & Lehmacher 1995): running maxima."""
    return dict(zip(p, map(float, np.maximum.accumulate(list(p.values()) or [0.0])), strict=False))


def gatekeep(families: Sequence[Mapping[str, float]], method: str | Sequence[str] = "holm") -> dict[str, float]:
    """Serial gatekeeping: a family is tested when all hypotheses of the one before are rejected.

    Families come in order of importance; within each `adjust_p` by `method`, one for all or one a family. An adjusted
    p value is at least the largest of the families before (Westfall & Krishen 2001; Dmitrienko & Tamhane 2007).

    Raises
    ------
    StatisticsError : a hypothesis in two families; another number of methods than of families; see `adjust_p`.
    """
    methods = [method] * len(families) if isinstance(method, str) else list(method)
    if len(methods) != len(families):
        raise StatisticsError("families", f"{len(methods)} method(s) for {len(families)}", "one for each")
    out: dict[str, float] = {}
    least = 0.0
    for family, within in zip(families, methods, strict=True):
        adjusted = {name: max(value, least) for name, value in adjust_p(family, within).items()}
        if repeated := sorted(set(adjusted) & set(out)):
            raise StatisticsError("families", f"{repeated[0]!r} in more than one", "each hypothesis in one family")
        out |= adjusted
        least = max([least, *adjusted.values()])
    return out
