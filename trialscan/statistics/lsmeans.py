"""Reference grids: which predictions an LS-mean averages, and with which weights (Searle, Speed & Milliken 1980)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from formulaic.parser.types import Factor
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import require_columns
from trialscan.statistics.design import CrossDesign

Array = NDArray[np.float64]
Averaging = Literal["equal", "proportional"]


@dataclass(frozen=True)
class Grid:
    """Linear combinations (c, p) of the fixed effects, indexed by levels, and how they average in words."""

    weights: Array
    index: pd.Index
    averaging: str


def reference_grid(design: CrossDesign, by: str | Sequence[str], weights: Averaging, at: Mapping[str, float]) -> Grid:
    """The mean prediction for each combination of the levels of `by`.

    The other factors are averaged over, numbers stand at `at` or at their mean over the model's rows.

    Raises
    ------
    StatisticsError : a column that the model lacks; a number among `by` or a factor in `at`; an unknown weighting.
    """
    names = (by,) if isinstance(by, str) else tuple(by)
    if not names:
        raise StatisticsError("lsmeans", "no factor to give means by", "one or more of the formula's factors")
    if weights not in ("equal", "proportional"):
        raise StatisticsError(f"weights={weights!r}", "no such averaging", "'equal' or 'proportional'")
    frame = design.frame[list(design.model_columns)]
    require_columns(frame, (*names, *at), f"formula {design.formula!r}")
    factors = _levels(design, frame)
    for name, wanted in [*((name, True) for name in names), *((name, False) for name in at)]:
        if (name in factors) != wanted:
            kind = "a factor" if wanted else "numbers"
            raise StatisticsError(f"column {name!r}", "numbers" if wanted else "a factor", kind)
    others = [name for name in factors if name not in names]
    means = {name: float(frame[name].mean()) for name in frame.columns if name not in factors} | dict(at)
    shares = _shares(frame, {name: factors[name] for name in others}, weights)
    cells = list(product(*(factors[name] for name in names)))
    rows = pd.DataFrame(
        [dict(zip((*names, *others), (*cell, *other), strict=True)) | means for cell in cells for other in shares],
        columns=[*names, *others, *means],
    )
    rows = rows.astype({name: frame[name].dtype for name in factors})
    matrix = design.matrix(rows).reshape(len(cells), len(shares), -1)
    averaged = np.tensordot(matrix, np.array(list(shares.values())), axes=([1], [0]))
    index = pd.MultiIndex.from_tuples(cells, names=names)
    return Grid(averaged, index if len(names) > 1 else index.get_level_values(0), _in_words(others, means, weights))


def differences(grid: Grid, reference: str | None) -> Grid:
    """The grid's rows minus those of the reference level (None: the first) of its first factor.

    Raises StatisticsError for a level that the factor lacks.
    """
    levels = list(grid.index.unique(level=0))
    chosen = levels[0] if reference is None else reference
    if chosen not in levels:
        raise StatisticsError(f"reference {chosen!r}", f"no such level of {grid.index.names[0]!r}", f"{levels}")
    inside = len(grid.index) // len(levels)
    blocks = grid.weights.reshape(len(levels), inside, -1)
    away = blocks - blocks[levels.index(chosen)]
    kept = [index for index, level in enumerate(levels) if level != chosen]
    rows = [place for index in kept for place in range(index * inside, (index + 1) * inside)]
    averaging = f"difference from {chosen}; {grid.averaging}"
    return Grid(away[kept].reshape(len(rows), -1), grid.index[rows], averaging)


def _levels(design: CrossDesign, frame: pd.DataFrame) -> dict[str, list[Any]]:
    """The levels of every factor: of text and categoricals, and of numbers that the formula codes as one, C(site)."""
    coded = {
        name
        for factor, used in design.spec.factor_variables.items()
        if design.spec.encoder_state.get(factor.expr, (None,))[0] is Factor.Kind.CATEGORICAL
        for name in used
    }
    text = {name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)}
    return {
        name: list(frame[name].cat.categories) if name in text else sorted(frame[name].unique())
        for name in frame.columns
        if name in text | coded
    }


def _shares(
    frame: pd.DataFrame, others: Mapping[str, Sequence[Any]], weights: Averaging
) -> dict[tuple[Any, ...], float]:
    """Combinations of the other factors' levels and the weight of each; one empty combination where there are none."""
    combinations = list(product(*others.values()))
    if weights == "equal" or not others:
        return dict.fromkeys(combinations, 1 / len(combinations))
    seen = frame.groupby(list(others), observed=True).size() / len(frame)
    return {(key if isinstance(key, tuple) else (key,)): float(share) for key, share in seen.items()}


def _in_words(others: Sequence[str], means: Mapping[str, float], weights: Averaging) -> str:
    parts = []
    if others:
        parts.append(f"averaged over {', '.join(others)} with {weights} weights")
    if means:
        parts.append("at " + ", ".join(f"{name} = {value:.6g}" for name, value in means.items()))
    return "; ".join(parts) or "no other covariates"
