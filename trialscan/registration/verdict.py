"""From numbers to pass, review or fail, with the reasons in words."""

from collections.abc import Mapping

from trialscan.registration.alignment import AlignmentStatus
from trialscan.study.sections import RegistrationLimits

FAR_BELOW_DICE = 0.2
LEAST_OVERLAP_PERCENT = 50.0
FULL_OVERLAP_PERCENT = 95.0
LEAST_CORRELATION = 0.25
DOUBTFUL_CORRELATION = 0.45
LARGEST_VOLUME_RATIO = 5 / 3


def judge(
    quality: Mapping[str, float | None], limits: RegistrationLimits, unlike: bool, mirrored: int | None
) -> tuple[AlignmentStatus, tuple[str, ...]]:
    """Status and reasons.

    `unlike` tells that most blocks of the baseline were found elsewhere or not at all; `mirrored` names the grid
    axis along which a mirrored follow-up fits better.
    """
    fails: list[str] = []
    reviews: list[str] = []
    if mirrored is not None:
        fails.append(f"the follow-up looks mirrored along its {'ijk'[mirrored]} axis")
    for failed, reason in (*_organ(quality, limits), *_content(quality, unlike)):
        (fails if failed else reviews).append(reason)
    status = AlignmentStatus.FAIL if fails else AlignmentStatus.REVIEW if reviews else AlignmentStatus.PASS
    return status, tuple(fails + reviews)


def _organ(quality: Mapping[str, float | None], limits: RegistrationLimits) -> list[tuple[bool, str]]:
    """What masks and fields of view say, as (fails, reason)."""
    found = []
    dice, ratio, overlap = (quality[name] for name in ("organ_dice_after", "organ_volume_ratio", "overlap_percent"))
    if dice is not None and dice < limits.min_organ_dice:
        failed = dice < limits.min_organ_dice - FAR_BELOW_DICE
        found.append((failed, f"organ Dice is {dice:.3f}, expected at least {limits.min_organ_dice:g}"))
    if ratio is not None and not 1 / LARGEST_VOLUME_RATIO <= ratio <= LARGEST_VOLUME_RATIO:
        found.append((False, f"the organ's volume changed by a factor of {ratio:.2f}"))
    if overlap is not None and overlap < FULL_OVERLAP_PERCENT:
        failed = overlap < LEAST_OVERLAP_PERCENT
        found.append((failed, f"only {overlap:.0f} % of the baseline's organ lies in the follow-up's field of view"))
    folding = quality["folding_percent"]
    if folding is not None and folding > limits.max_folding_percent:
        found.append((True, f"{folding:.2f} % of the organ folds; at most {limits.max_folding_percent:g} % may"))
    return found


def _content(quality: Mapping[str, float | None], unlike: bool) -> list[tuple[bool, str]]:
    """What the pictures say, as (fails, reason)."""
    correlation = quality["local_correlation_after"]
    if correlation is None:
        return []
    if correlation < LEAST_CORRELATION or (unlike and correlation < DOUBTFUL_CORRELATION):
        return [(True, f"the scans hardly resemble each other (local correlation {correlation:.2f}): same patient?")]
    if unlike or correlation < DOUBTFUL_CORRELATION:
        return [(False, f"details of the two scans do not meet (local correlation {correlation:.2f})")]
    return []
