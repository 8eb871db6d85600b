"""What a patient's visits say together: the course of each lesion and of the whole burden."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from trialscan.lesions.findings import Findings, Lesion
from trialscan.registration import Alignment

VisitStatus = Literal["ok", "failed", "missing"]


class Change(StrEnum):
    """What became of a lesion since it was last assessed."""

    NEW = "new"
    GROWING = "growing"
    STABLE = "stable"
    SHRINKING = "shrinking"
    RESOLVED = "resolved"
    MERGED = "merged"
    SPLIT = "split"
    INDETERMINATE = "indeterminate"
    NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True)
class VisitFindings:
    """One visit of a patient, scanned or not.

    Attributes
    ----------
    visit, study_day : a scheduled visit that is missing gives its planned day.
    findings : None unless `status` is "ok".
    alignment : between this scan and the baseline; None at the baseline, and where none was made.
    is_baseline : whether its coordinates are those of the history; at most one visit of a patient.
    status : "ok", "failed" (a scan that could not be processed) or "missing" (no scan).
    scanner : its name and kernel; sizes compare worse between scans that name different ones. Empty where unknown.
    """

    visit: str
    study_day: int
    findings: Findings | None
    alignment: Alignment | None = None
    is_baseline: bool = False
    status: VisitStatus = "ok"
    scanner: str = ""


@dataclass(frozen=True)
class LesionRow:
    """One lesion at one visit.

    Attributes
    ----------
    lesion_id : stable over visits, "L01" onwards; "<visit>-1" onwards in a visit that could not be linked.
    label : the lesion's number in that visit's `Findings`; None where it was not seen.
    family : "F01" onwards: all lesions that merges and splits join; empty where the visit could not be linked.
    volume_ml, area_mm2, organ_percent, longest_diameter_mm : native measures; 0 when resolved, None when not assessed
        or unknown.
    centroid_mm : in baseline LPS; the place last seen when resolved or not assessed; None without spacing or link.
    change : against the visit at which the lesion was last assessed; None at the first visit.
    change_percent : of the size then; of all lesions together that merged or split.
    family_change_percent : of the family's size at the baseline; None where either is unknown or the baseline has none.
    predecessors : lesion_ids at the last assessed visit that this lesion continues, its own included.
    note : why it was not assessed, or what a reader should know of the call.
    change_probability : that the true change is as called (see docs/lesions.md); of merged and split lesions, that of
        the call on their total. None without a call, and where an edge of the field decides it.
    sd_log : standard deviation of the natural logarithm of the measured size; None where not seen.
    lesion : all its native measures; None where not seen.
    """

    visit: str
    study_day: int
    lesion_id: str
    label: int | None
    family: str
    class_name: str
    volume_ml: float | None
    area_mm2: float | None
    organ_percent: float | None
    longest_diameter_mm: float | None
    mean_intensity: float | None
    centroid_mm: tuple[float, float, float] | None
    change: Change | None
    change_percent: float | None
    family_change_percent: float | None
    predecessors: tuple[str, ...]
    note: str
    change_probability: float | None = None
    sd_log: float | None = None
    lesion: Lesion | None = field(default=None, hash=False)


@dataclass(frozen=True)
class TrajectoryRow:
    """One course at one visit: of the whole burden, of a family of lesions, or of one lesion.

    Every figure without a unit in its name is in that of `measure`. Changes are from the start: the baseline, or for a
    lesion or family that the baseline does not show, the first visit that does.

    Attributes
    ----------
    course : "burden", or the name of a family or lesion.
    measure : "volume_ml" when every scan of the patient has millilitres, "organ_percent" otherwise.
    size : None when the visit has no findings, the lesion was not assessed, or the measure is unknown.
    size_lower, size_upper : 95 % limits of the true size, wider on another scanner than the start's; None where the
        size is 0 or None.
    class_ml : volume of each class; empty where unknown.
    lesion_count : lesions that the size is the sum of.
    nadir : the least size from the start up to this visit; change_from_nadir_percent compares with it.
    best_response_percent : the lowest change_percent up to this visit, the start's 0 not counted.
    progressed : whether the size exceeds the nadir by more than measurement error.
    days_to_progression : from the start to the first visit that progressed; None before it.
    new_count, new_size : lesions called new at this visit; None when the visit was not linked, and but for the burden.
    resolved_count, resolved_size : lesions called resolved at this visit, by their last size; None likewise.
    error_lower_percent, error_upper_percent : the change_percent that 95 % of repeated measurements would stay within
        had nothing changed since the start; None at the start, and where either size is 0 or unknown.
    lesion_shift_mm : length of the median displacement of the lesions that one lesion of the last assessed visit
        continues, in baseline coordinates: drift of the alignment. None for fewer than three, and but for the burden.
    """

    course: str
    visit: str
    study_day: int
    status: VisitStatus
    measure: Literal["volume_ml", "organ_percent"]
    size: float | None
    size_lower: float | None
    size_upper: float | None
    class_ml: Mapping[str, float]
    lesion_count: int | None
    size_change: float | None
    change_percent: float | None
    nadir: float | None
    change_from_nadir_percent: float | None
    best_response_percent: float | None
    progressed: bool | None
    days_to_progression: int | None
    new_count: int | None = None
    new_size: float | None = None
    resolved_count: int | None = None
    resolved_size: float | None = None
    lesion_shift_mm: float | None = None
    error_lower_percent: float | None = None
    error_upper_percent: float | None = None


@dataclass(frozen=True)
class History:
    """A patient's lesions by visit and id, the burden by visit, and the course of each family and lesion by visit.

    Families of a single lesion have no course of their own.
    """

    rows: tuple[LesionRow, ...]
    trajectory: tuple[TrajectoryRow, ...]
    courses: tuple[TrajectoryRow, ...]
