"""Follow-ups aligned to their baseline: correspondence and common coordinates, never numbers measured."""

from trialscan.registration.alignment import Alignment, AlignmentStatus, Rung
from trialscan.registration.files import read_alignment, write_alignment, write_composites
from trialscan.registration.mid_space import mid_space
from trialscan.registration.points import map_table, read_points
from trialscan.registration.register import register
from trialscan.registration.resampling import resample_to_baseline

__all__ = [
    "Alignment",
    "AlignmentStatus",
    "Rung",
    "map_table",
    "mid_space",
    "read_alignment",
    "read_points",
    "register",
    "resample_to_baseline",
    "write_alignment",
    "write_composites",
]
