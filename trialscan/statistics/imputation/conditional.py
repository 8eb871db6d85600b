"""Conditional-mean imputation: the expected course of a patient given what was observed (White, Royes & Best 2020)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.statistics.imputation.strategies import Marginal

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Courses:
    """Patients by visits: outcome y (n, m) with NaN where missing, and rows of the imputation model.

    `own` (n, m, p) are the model's rows in each patient's own arm, `reference` (n, m, p) in the reference arm; `after`
    (n, m) marks the visits that an intercurrent event affects.
    """

    y: Array
    own: Array
    reference: Array
    after: NDArray[np.bool_]

    def marginal(self, beta: Array) -> Marginal:
        """Their means at the imputation model's coefficients."""
        return Marginal(self.own @ beta, self.reference @ beta, self.after)

    def without(self, index: int) -> "Courses":
        """All patients but one."""
        return Courses(*(np.delete(each, index, axis=0) for each in vars(self).values()))


def impute(y: Array, means: Array, S: Array) -> Array:
    """E(y | observed) for y ~ N(means, S), patient by patient; a pattern of missing visits is solved once.

    Parameters
    ----------
    y : (n, m), NaN where missing. means : (n, m). S : (m, m).
    """
    done = y.copy()
    missing = np.isnan(y)
    patterns, of_patient = np.unique(missing, axis=0, return_inverse=True)
    for index, lacking in enumerate(patterns):
        rows = np.flatnonzero(of_patient.ravel() == index)
        if not lacking.any():
            continue
        seen = ~lacking
        shift = np.zeros((len(rows), int(lacking.sum())))
        if seen.any():
            weights = np.linalg.solve(S[np.ix_(seen, seen)], S[np.ix_(seen, lacking)])
            shift = (y[np.ix_(rows, seen)] - means[np.ix_(rows, seen)]) @ weights
        done[np.ix_(rows, lacking)] = means[np.ix_(rows, lacking)] + shift
    return done
