"""Orthogonalisation of a model matrix, column by column.

Own code where a library has QR, for two reasons: columns that repeat earlier ones are found in order and by name, and
no step is split over threads, so that every bit of a result is the same on any number of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ALIAS_TOLERANCE = 1e-9
ESTIMABLE_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Orthogonal:
    """X[:, kept] = Q R with Q'Q = I (n, r) and R (r, r) upper triangular; `aliased` are the columns left out.

    X[:, aliased] = X[:, kept] `relations` (r, a).
    """

    Q: Array
    R: Array
    kept: tuple[int, ...]
    aliased: tuple[int, ...]
    relations: Array

    def estimable(self, combinations: Array) -> NDArray[np.bool_]:
        """Which combinations (c, p) of all coefficients lie in the row space of X (Searle 1971)."""
        kept, aliased = combinations[:, list(self.kept)], combinations[:, list(self.aliased)]
        away = np.max(np.abs(aliased - kept @ self.relations), axis=1, initial=0.0)
        return np.asarray(away <= ESTIMABLE_TOLERANCE * np.max(np.abs(combinations), axis=1, initial=0.0))


def orthogonalise(X: Array, tolerance: float = ALIAS_TOLERANCE) -> Orthogonal:
    """Gram–Schmidt with a second pass ("twice is enough", Giraud, Langou & Rozložník 2005).

    A column whose part outside the earlier ones is less than `tolerance` of its length is aliased.
    """
    columns: list[Array] = []
    kept: list[int] = []
    R = np.zeros((X.shape[1], X.shape[1]))
    for index in range(X.shape[1]):
        rest = X[:, index].copy()
        length = norm(rest)
        for _ in range(2):
            for row, column in enumerate(columns):
                share = float(np.sum(column * rest))
                rest -= share * column
                R[row, index] += share
        size = norm(rest)
        if size > tolerance * length:
            R[len(columns), index] = size
            columns.append(rest / size)
            kept.append(index)
    rank = len(kept)
    Q = np.column_stack(columns) if columns else np.zeros((X.shape[0], 0))
    aliased = tuple(index for index in range(X.shape[1]) if index not in kept)
    upper = R[:rank][:, kept]
    relations: Array = np.zeros((rank, len(aliased)))
    if aliased and rank:
        relations[:] = np.linalg.solve(upper, R[:rank][:, list(aliased)])
    return Orthogonal(Q, upper, tuple(kept), aliased, relations)


def norm(values: Array) -> float:
    """Euclidean length, by a sum that no thread count reorders."""
    return float(np.sqrt(np.sum(values * values)))
