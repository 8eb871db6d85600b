"""What a method of inference makes of completed outcomes: estimates with standard errors and degrees of freedom."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pooled:
    """Estimates, standard errors and degrees of freedom (infinite: normal), arrays of one shape."""

    estimate: Array
    se: Array
    df: Array

    def critical(self, alpha: float) -> Array:
        """|estimate| / se beyond which the two-sided p is below alpha."""
        return np.asarray(stats.t.isf(alpha / 2, self.df))

    def part(self, chosen: "slice | tuple[slice | int, ...]") -> "Pooled":
        """Some of the estimates."""
        return Pooled(self.estimate[chosen], self.se[chosen], self.df[chosen])

    def table(self, index: pd.Index, alpha: float) -> pd.DataFrame:
        """A row an estimate: estimate, se, then z, or df and t, then p, lower, upper."""
        estimate, se, df = self.estimate.ravel(), self.se.ravel(), self.df.ravel()
        ratio = estimate / se
        reach = self.critical(alpha).ravel() * se
        test = {"z": ratio} if np.isinf(df).all() else {"df": df, "t": ratio}
        ends = {"p": 2 * stats.t.sf(np.abs(ratio), df), "lower": estimate - reach, "upper": estimate + reach}
        return pd.DataFrame({"estimate": estimate, "se": se, **test, **ends}, index=index)


class Estimates(Protocol):
    """The analysis of outcomes completed under one strategy; results (k, m) as `VisitAncova` orders them."""

    @property
    def completed(self) -> Array:
        """Outcomes (n, m), the missing ones replaced by what is expected for them."""

    def pooled(self) -> Pooled:
        """As imputed."""

    def under(self, shift: Array) -> Callable[[float], Pooled]:
        """As a function of delta, when delta × shift (n, m) is added to the completed outcomes."""
