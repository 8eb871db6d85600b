"""The imputation model: an MMRM by REML on what was observed, refitted to other choices of the same patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.covariance import structure_named
from trialscan.statistics.mmrm.design import VisitDesign
from trialscan.statistics.mmrm.identification import refuse_unidentified
from trialscan.statistics.mmrm.likelihood import MmrmLikelihood
from trialscan.statistics.mmrm.moments import Moments, visit_moments
from trialscan.statistics.mmrm.search import find_minimum

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Parameters:
    """Fixed effects beta (p,) and the covariance S (m, m) of the visits, on the scale of the data."""

    beta: Array
    S: Array


class ImputationModel:
    """A design and a covariance structure, fitted once to all patients; refits start from that minimum.

    Raises
    ------
    StatisticsError : a covariance that the data do not identify; a fit that did not converge.
    """

    def __init__(self, design: VisitDesign, covariance: str) -> None:
        refuse_unidentified(covariance, design)
        self._place = {name: index for index, name in enumerate(design.patients)}
        self._structure = structure_named(covariance)
        self._moments, self._scale = visit_moments(design)
        self._start: Array | None = None
        self.whole = self._fitted(self._moments)

    def without(self, patient: str) -> Parameters:
        """Fitted to all patients but one; one who has no outcome changes nothing.

        Raises
        ------
        StatisticsError : a fit that did not converge, naming the patient.
        """
        if patient not in self._place:
            return self.whole
        try:
            return self._fitted(self._moments.without(self._place[patient]))
        except (StatisticsError, np.linalg.LinAlgError) as error:
            raise StatisticsError(f"jackknife without patient {patient}", str(error), "a fit that converges") from error

    def resampled(self, patients: tuple[str, ...]) -> Parameters | None:
        """Fitted to patients drawn with replacement, by name; None where that fit did not converge."""
        times = np.zeros(len(self._place), dtype=np.intp)
        for name in patients:
            if name in self._place:
                times[self._place[name]] += 1
        try:
            return self._fitted(self._moments.resampled(times))
        except (StatisticsError, np.linalg.LinAlgError):
            return None

    def _fitted(self, moments: Moments) -> Parameters:
        likelihood = MmrmLikelihood(moments, self._structure, reml=True)
        minimum = find_minimum(likelihood, self._start)
        if self._start is None:
            self._start = minimum.phi
        scale = self._scale
        return Parameters(
            beta=scale.inverse_r @ (scale.ols + scale.y_scale * minimum.at.beta),
            S=scale.y_scale**2 * likelihood.covariances(minimum.phi)[0].S,
        )
