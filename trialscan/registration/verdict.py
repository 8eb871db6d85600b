"""From numbers to pass, review or fail, with the reasons in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trialscan.registration.alignment import AlignmentStatus
from trialscan.study.sections import RegistrationLimits

FAR_BELOW_DICE = 0.2
LEAST_OVERLAP_PERCENT = 50.0
FULL_OVERLAP_PERCENT = 90.0
LEAST_CORRELATION = 0.15
DOUBTFUL_CORRELATION = 0.25
LARGEST_VOLUME_RATIO = 5 / 3


@dataclass(frozen=True)
class Fault:
    """Something wrong with an alignment, and whether it forbids its use."""

    fails: bool
    reason: str


def judge(faults: Sequence[Fault]) -> tuple[AlignmentStatus, tuple[str, ...]]:
    """Status and reasons, the failing ones first."""
    ordered = sorted(faults, key=lambda fault: not fault.fails)
    if not ordered:
        return AlignmentStatus.PASS, ()
    status = AlignmentStatus.FAIL if ordered[0].fails else AlignmentStatus.REVIEW
    return status, tuple(fault.reason for fault in ordered)


def mirror_faults(axis: int | None) -> list[Fault]:
    """A follow-up that fits better mirrored along an axis of its grid."""
    return [] if axis is None else [Fault(True, f"the follow-up looks mirrored along its {'ijk'[axis]} axis")]


def organ_faults(quality: Mapping[str, float | None], limits: RegistrationLimits) -> list[Fault]:
    """What masks, fields of view and the map itself say."""
    found = []
    dice, ratio, overlap = (quality[name] for name in ("organ_dice_after", "organ_volume_ratio", "overlap_percent"))
    if dice is not None and dice < limits.min_organ_dice:
        fails = dice < limits.min_organ_dice - FAR_BELOW_DICE
        found.append(Fault(fails, f"organ Dice is {dice:.3f}, expected at least {limits.min_organ_dice:g}"))
    if ratio is not None and not 1 / LARGEST_VOLUME_RATIO <= ratio <= LARGEST_VOLUME_RATIO:
        found.append(Fault(False, f"the organ's size changed by a factor of {ratio:.2f}"))
    if overlap is not None and overlap < FULL_OVERLAP_PERCENT:
        fails = overlap < LEAST_OVERLAP_PERCENT
        found.append(Fault(fails, f"only {overlap:.0f} % of the baseline lies in the follow-up's field of view"))
    return found


def content_faults(correlation: float, unlike: bool) -> list[Fault]:
    """What the pictures of two volumes say; `unlike`: most blocks of the baseline fit better elsewhere.

    Projections and single slices of one patient correlate no better than those of two, hence not for planar images.
    """
    if correlation < LEAST_CORRELATION or (unlike and correlation < DOUBTFUL_CORRELATION):
        return [
            Fault(True, f"the scans hardly resemble each other (local correlation {correlation:.2f}): same patient?")
        ]
    if unlike or correlation < DOUBTFUL_CORRELATION:
        return [Fault(False, f"details of the two scans do not meet (local correlation {correlation:.2f})")]
    return []
