"""The rows that a visit adds to a history: one a lesion seen, resolved, or not assessed."""

from collections.abc import Sequence
from dataclasses import dataclass

from trialscan.lesions.change import judge
from trialscan.lesions.error import Measured, lesion_sd
from trialscan.lesions.findings import Findings, Lesion
from trialscan.lesions.history import Change, LesionRow, VisitFindings
from trialscan.lesions.placement import Cloud, PlacedVisit, scan_facts
from trialscan.study.sections import LesionSettings


@dataclass(frozen=True, eq=False)
class Track:
    """A named lesion as it was last seen, and whether it has been found gone since."""

    number: int
    lesion: Lesion
    cloud: Cloud
    seen: PlacedVisit
    resolved: bool = False

    @property
    def lesion_id(self) -> str:
        """The lasting name: "L01" onwards."""
        return f"L{self.number:02d}"

    @property
    def measured(self) -> Measured:
        """The lesion with the scan it was last seen in."""
        return Measured(self.lesion, self.seen.facts)


@dataclass(frozen=True)
class Call:
    """What is said of a lesion's change, and the probability that it is right."""

    change: Change | None
    percent: float | None = None
    note: str = ""
    probability: float | None = None


def seen_row(track: Track, call: Call, predecessors: Sequence[Track], settings: LesionSettings) -> LesionRow:
    """The row of a lesion at the visit where it is seen."""
    visit, lesion = track.seen.visit, track.lesion
    return LesionRow(
        visit=visit.visit,
        study_day=visit.study_day,
        lesion_id=track.lesion_id,
        label=lesion.number,
        family="",
        class_name=lesion.class_name,
        volume_ml=lesion.volume_ml,
        area_mm2=lesion.area_mm2,
        organ_percent=lesion.organ_percent,
        longest_diameter_mm=lesion.longest_diameter_mm,
        mean_intensity=lesion.mean_intensity,
        centroid_mm=_baseline_centroid(track),
        change=call.change,
        change_percent=call.percent,
        family_change_percent=None,
        predecessors=tuple(sorted((other.lesion_id for other in predecessors), key=_by_number)),
        note=call.note,
        change_probability=call.probability,
        sd_log=lesion_sd(track.measured, settings, across=False),
        lesion=lesion,
    )


def unseen_row(track: Track, visit: VisitFindings, call: Call) -> LesionRow:
    """The row of a known lesion at a visit that shows none (sizes 0), or where it was not assessed (sizes unknown)."""
    gone = call.change is not Change.NOT_ASSESSED
    lesion = track.lesion
    return LesionRow(
        visit=visit.visit,
        study_day=visit.study_day,
        lesion_id=track.lesion_id,
        label=None,
        family="",
        class_name=lesion.class_name,
        volume_ml=_zero(gone, lesion.volume_ml),
        area_mm2=_zero(gone, lesion.area_mm2),
        organ_percent=_zero(gone, lesion.organ_percent),
        longest_diameter_mm=_zero(gone, lesion.longest_diameter_mm),
        mean_intensity=None,
        centroid_mm=_baseline_centroid(track),
        change=call.change,
        change_percent=call.percent,
        family_change_percent=None,
        predecessors=(track.lesion_id,) if gone else (),
        note=call.note,
        change_probability=call.probability,
    )


def unlinked_rows(visit: VisitFindings, findings: Findings, reason: str, settings: LesionSettings) -> list[LesionRow]:
    """The lesions of a visit that has no place in baseline coordinates, under names of that visit alone."""
    return [
        LesionRow(
            visit=visit.visit,
            study_day=visit.study_day,
            lesion_id=f"{visit.visit}-{lesion.number}",
            label=lesion.number,
            family="",
            class_name=lesion.class_name,
            volume_ml=lesion.volume_ml,
            area_mm2=lesion.area_mm2,
            organ_percent=lesion.organ_percent,
            longest_diameter_mm=lesion.longest_diameter_mm,
            mean_intensity=lesion.mean_intensity,
            centroid_mm=None,
            change=Change.NOT_ASSESSED,
            change_percent=None,
            family_change_percent=None,
            predecessors=(),
            note=reason,
            sd_log=lesion_sd(Measured(lesion, scan_facts(findings, visit.scanner)), settings, across=False),
            lesion=lesion,
        )
        for lesion in findings.lesions
    ]


def linked_call(
    before: Sequence[Track], after: Sequence[Track], *, merged: bool, split: bool, settings: LesionSettings
) -> Call:
    """The call on lesions that continue earlier ones; of those that merged or split, on all of them together."""
    judgement = judge([track.measured for track in before], [track.measured for track in after], settings)
    if not merged and not split:
        return Call(judgement.change, judgement.percent, judgement.note, judgement.probability)
    total = "total change indeterminate" if judgement.change is Change.INDETERMINATE else f"total {judgement.change}"
    note = f"{total}: {judgement.note}" if judgement.note else total
    return Call(Change.MERGED if merged else Change.SPLIT, judgement.percent, note, judgement.probability)


def _zero(gone: bool, last: float | None) -> float | None:
    """0 for a measure that the lesion had while it was there."""
    return 0.0 if gone and last is not None else None


def _baseline_centroid(track: Track) -> tuple[float, float, float] | None:
    return track.cloud.centroid if track.seen.findings.labels.spacing_known else None


def _by_number(lesion_id: str) -> int:
    return int(lesion_id[1:])
