"""Which covariances the observed visits can tell: faults found before a fit, named by visit."""

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed
from trialscan.statistics.mmrm.design import VisitDesign

_EVERY_DISTANCE = ("toep", "toeph")
_EVERY_NEIGHBOUR = ("ad", "adh")


def refuse_unidentified(structure: str, design: VisitDesign) -> None:
    """Raise StatisticsError naming the visits whose covariance no patient informs (in the group, where there are some).

    Unstructured needs a patient for every pair of visits, Toeplitz for every distance, ante-dependence for every step
    from a visit to a later one; the others need one patient with two visits.
    """
    m = len(design.visits)
    for group, name in enumerate(design.groups):
        together = _together(design, group)
        where = "" if len(design.groups) == 1 else f" of {name}"
        if unseen := [visit for visit, count in zip(design.visits, np.diag(together), strict=True) if count == 0]:
            raise _fault(structure, f"no patient{where} was seen at {listed(unseen)}")
        pairs = [(a, b) for a in range(m) for b in range(a + 1, m)]
        if structure == "us":
            lacking = [f"{design.visits[a]} and {design.visits[b]}" for a, b in pairs if not together[a, b]]
        elif structure in _EVERY_DISTANCE:
            lags = [lag for lag in range(1, m) if not np.diag(together, lag).any()]
            lacking = [f"visits {lag} apart" for lag in lags]
        elif structure in _EVERY_NEIGHBOUR:
            lacking = [
                f"{design.visits[a]} (or earlier) and {design.visits[a + 1]} (or later)"
                for a in range(m - 1)
                if not together[: a + 1, a + 1 :].any()
            ]
        else:
            lacking = ["two visits"] if m > 1 and not any(together[a, b] for a, b in pairs) else []
        if lacking:
            raise _fault(structure, f"no patient{where} was seen at both {listed(lacking)}")


def _fault(structure: str, found: str) -> StatisticsError:
    return StatisticsError(
        f"covariance {structure}",
        found,
        "a patient for each covariance that is to be estimated",
        "Take a covariance with fewer parameters, or leave the visit out",
    )


def _together(design: VisitDesign, group: int) -> NDArray[np.float64]:
    """How many of a group's patients were seen at both of two visits (m, m)."""
    seen = np.zeros((len(design.patients), len(design.visits)))
    seen[design.patient_of_row, design.visit_of_row] = 1.0
    mine = seen[design.group_of_patient == group]
    return np.asarray(mine.T @ mine)
