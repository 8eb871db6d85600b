"""Lesions as objects: found and measured on their own grid, followed over a patient's visits."""

from trialscan.lesions.find import find_lesions
from trialscan.lesions.findings import Burden, Findings, Lesion
from trialscan.lesions.history import Change, History, LesionRow, TrajectoryRow, VisitFindings
from trialscan.lesions.tables import lesion_rows, measures
from trialscan.lesions.tracking import track_patient

__all__ = [
    "Burden",
    "Change",
    "Findings",
    "History",
    "Lesion",
    "LesionRow",
    "TrajectoryRow",
    "VisitFindings",
    "find_lesions",
    "lesion_rows",
    "measures",
    "track_patient",
]
