"""What weakens a visit's comparison with the visits before it, as flags."""

from collections.abc import Mapping, Sequence

from trialscan.lesions.error import scan_difference
from trialscan.lesions.history import History, VisitFindings
from trialscan.lesions.placement import scan_facts
from trialscan.study.sections import LesionSettings

FLAG = {
    "another scanner or kernel": "scanner_changed",
    "another slice thickness": "slice_thickness_changed",
}
SHIFTED = "lesions_shifted"
SHIFTED_SHARE = 0.5


def comparison_flags(
    visits: Sequence[VisitFindings], history: History, settings: LesionSettings
) -> Mapping[str, tuple[str, ...]]:
    """Flags by visit: another scanner, kernel or slice thickness than at the measured visit before, and drift.

    Drift is a common displacement of the lesions, against the visit before, of more than half the protocol's matching
    tolerance: the two alignments to the baseline contradict each other.
    """
    flags: dict[str, tuple[str, ...]] = {}
    shift = {row.visit: row.lesion_shift_mm for row in history.trajectory}
    before = None
    for visit in sorted(visits, key=lambda visit: (visit.study_day, visit.visit)):
        if visit.findings is None:
            continue
        facts = scan_facts(visit.findings, visit.scanner)
        unlike = scan_difference([before], [facts]) if before is not None else ""
        found = [FLAG[unlike]] if unlike else []
        if (shift[visit.visit] or 0.0) > SHIFTED_SHARE * settings.matching_tolerance_mm:
            found.append(SHIFTED)
        flags[visit.visit] = tuple(found)
        before = facts
    return flags
