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
STRANGERS_CORRELATION = {"masked": 0.25, "linear": 0.45, "deformed": 0.65}
UNLIKE_VOXELS = {"masked": 0.6, "linear": 0.6, "deformed": 0.45}
LARGEST_VOLUME_RATIO = 5 / 3
LEAST_INSIDE_CORRELATION = 0.93
LEAST_INSIDE_CORRELATION_SHADED = 0.65


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


def organ_faults(quality: Mapping[str, float | None], limits: RegistrationLimits, *, deformed: bool) -> list[Fault]:
    """What masks, fields of view and the map itself say."""
    found = []
    dice, ratio, overlap = (quality[name] for name in ("organ_dice_after", "organ_volume_ratio", "overlap_percent"))
    least = limits.min_organ_dice
    if not deformed and limits.min_organ_dice_linear is not None:
        least = limits.min_organ_dice_linear
    if dice is not None and dice < least:
        found.append(Fault(dice < least - FAR_BELOW_DICE, f"organ Dice is {dice:.3f}, expected at least {least:g}"))
    if ratio is not None and not 1 / LARGEST_VOLUME_RATIO <= ratio <= LARGEST_VOLUME_RATIO:
        found.append(Fault(False, f"the organ's size changed by a factor of {ratio:.2f}"))
    if overlap is not None and overlap < FULL_OVERLAP_PERCENT:
        fails = overlap < LEAST_OVERLAP_PERCENT
        found.append(Fault(fails, f"only {overlap:.0f} % of the baseline lies in the follow-up's field of view"))
    return found


def inside_faults(correlation: float | None, *, shaded: bool) -> list[Fault]:
    """Scans without masks that meet at their outline and not within (`resemblance.inside_correlation`).

    `shaded` scans, of MR, differ more from visit to visit.
    """
    if correlation is None or correlation >= (LEAST_INSIDE_CORRELATION_SHADED if shaded else LEAST_INSIDE_CORRELATION):
        return []
    found = f"local correlation {correlation:.2f}"
    return [Fault(False, f"within the body the scans resemble each other little ({found}): same patient?")]


def content_kind(*, masked: bool, deformed: bool) -> str:
    """Which limits hold: "masked" for an organ alone; the whole picture is all borders, which a deformation brings
    together even between two patients, hence "linear" and "deformed" for scans without masks."""
    if masked:
        return "masked"
    return "deformed" if deformed else "linear"


def content_faults(
    correlation: float, residual_voxels: float | None, kind: str, limits: RegistrationLimits
) -> list[Fault]:
    """What the pictures of two volumes say; `residual_voxels`: median shift at which blocks of the baseline fit better.

    Projections and single slices of one patient correlate no better than those of two, hence not for planar images.
    """
    asked = limits.min_local_correlation
    unlike = residual_voxels is not None and residual_voxels > UNLIKE_VOXELS[kind]
    if correlation < LEAST_CORRELATION or (unlike and correlation < (asked or STRANGERS_CORRELATION[kind])):
        return [
            Fault(True, f"the scans hardly resemble each other (local correlation {correlation:.2f}): same patient?")
        ]
    if unlike or correlation < (asked or DOUBTFUL_CORRELATION):
        return [Fault(False, f"details of the two scans do not meet (local correlation {correlation:.2f})")]
    return []
