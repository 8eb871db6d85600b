"""Lesions as objects: found and measured on their own grid, followed over a patient's visits."""

from trialscan.lesions.doubts import comparison_flags
from trialscan.lesions.find import find_lesions
from trialscan.lesions.findings import Burden, Findings, Lesion
from trialscan.lesions.history import Change, History, LesionRow, TrajectoryRow, VisitFindings
from trialscan.lesions.tables import burden_limits, lesion_rows, measures, trajectory_rows
from trialscan.lesions.tracking import track_patient
from trialscan.lesions.trajectory import BURDEN

__all__ = [
    "BURDEN",
    "Burden",
    "Change",
    "Findings",
    "History",
    "Lesion",
    "LesionRow",
    "TrajectoryRow",
    "VisitFindings",
    "burden_limits",
    "comparison_flags",
    "find_lesions",
    "lesion_rows",
    "measures",
    "track_patient",
    "trajectory_rows",
]
