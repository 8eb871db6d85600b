"""What a reader must know before any number: flags of all visits, gathered and in plain words."""

from collections.abc import Iterable

from trialscan.reports.run_folder import FAILED, MISSING, VisitRow
from trialscan.reports.words import plain, sentence, shortened

_WORDS = {  # the worst first: what makes the visit's own numbers wrong, then what makes them doubtful, then the rest
    "empty_organ": "No organ was found in the scan",
    "intensity_range": "The scan's values do not look like the units that the protocol names",
    "nan_voxels": "The scan holds voxels that are not numbers",
    "unlike_training": "The scan is unlike those that the network was trained on; its outlines may be wrong unseen",
    "passes_disagree": "The network outlines the scan otherwise in a mirror; its outlines are doubtful",
    "organ_jump": "The organ's volume changed more since the visit before than the protocol holds plausible",
    "burden_jump": "The burden changed more since the visit before than the protocol holds plausible",
    "lesion_outside_organ": "More of the lesions lies outside the organ than the protocol allows",
    "organ_small": "The organ is smaller than the protocol's limit; the scan or its outline may be incomplete",
    "organ_large": "The organ is larger than the protocol's limit; its outline may include other tissue",
    "field_of_view_cut": "The organ reaches the edge of the picture and may be cut off",
    "slice_thickness": "The slices are thicker than the protocol allows; small lesions may be lost",
    "alignment_fail": "The scan could not be aligned to baseline; its lesions are not linked to earlier ones",
    "alignment_review": "The alignment to baseline needs review; lesion names and the shared slice depend on it",
    "spacing_unknown": "The picture carries no millimetres; sizes are in percent of the organ, not in millilitres",
    "single_visit": "The patient has one visit only; there is no change to report",
    "no_baseline": "The patient has no baseline visit as the protocol defines it; change is not given",
    "outside_visit_window": "The scan lies outside the visit's window in the protocol",
    "scanner_changed": "Another scanner or kernel than at the visit before; sizes compare with more error",
    "slice_thickness_changed": "Another slice thickness than at the visit before; sizes compare with more error",
    "lesions_shifted": "All lesions seem shifted against the visit before; the alignments do not agree",
    "voxel_count": "The scan has more voxels than the protocol allows",
}
_RANK = {code: rank for rank, code in enumerate(_WORDS)}
_STATUS_FLAGS = frozenset({FAILED, MISSING})


def flag_words(code: str) -> str:
    """A flag's code as a sentence."""
    return sentence(_WORDS.get(code, plain(code)))


def gathered_flags(visits: Iterable[VisitRow]) -> list[tuple[str, tuple[str, ...]]]:
    """Each thing to know with the visits it concerns: failed visits first, then missing ones, then flags by weight."""
    failed: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    other: dict[str, list[str]] = {}
    for row in visits:
        if row.status == FAILED:
            reason = row.text("message") or "no reason recorded"
            words = shortened(f"The scan could not be used: {reason}", where="tables/scans.csv")
            failed.setdefault(sentence(words), []).append(row.visit)
        elif row.status == MISSING:
            missing.setdefault("The visit was planned but there is no scan.", []).append(row.visit)
        for code in row.flags:
            if code not in _STATUS_FLAGS:
                other.setdefault(code, []).append(row.visit)
    flagged = {flag_words(code): other[code] for code in sorted(other, key=lambda code: _RANK.get(code, len(_RANK)))}
    return [(words, tuple(names)) for group in (failed, missing, flagged) for words, names in group.items()]


def severity(visits: Iterable[VisitRow]) -> tuple[int, int, int]:
    """How much is wrong: failed visits, missing visits, other flags; larger is worse."""
    rows = list(visits)
    return (
        sum(row.status == FAILED for row in rows),
        sum(row.status == MISSING for row in rows),
        sum(code not in _STATUS_FLAGS for row in rows for code in row.flags),
    )
