"""How far a measured size may lie from the true one: the protocol's repeatability, applied to lesions and their sums.

All standard deviations (SD) are of the natural logarithm of a size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtr

from trialscan.lesions.findings import Lesion
from trialscan.study.repeatability import ACROSS_FACTOR, RepeatabilityBand, find_band, find_share_band
from trialscan.study.sections import LesionSettings

Measure = Literal["volume_ml", "area_mm2", "organ_percent"]

MEASURES: tuple[Measure, ...] = ("volume_ml", "area_mm2", "organ_percent")
TWO_SIDED_95 = 1.959963984540054
SMALL = 3.0
SMALL_FACTOR = 2.0
THICKNESS_RATIO = 1.5


@dataclass(frozen=True)
class ScanFacts:
    """What decides how well a scan's sizes repeat.

    slice_mm : the longest voxel edge; None for planar images and where the spacing is unknown.
    scanner : its name and kernel, from the manifest or the header; empty where unknown.
    """

    slice_mm: float | None = None
    scanner: str = ""


@dataclass(frozen=True)
class Measured:
    """A lesion and the scan it was measured in."""

    lesion: Lesion
    scan: ScanFacts


def scan_difference(before: Sequence[ScanFacts], after: Sequence[ScanFacts]) -> str:
    """Why sizes compare worse than between scans alike: another scanner or kernel, other slices; empty when neither.

    Slices differ when one is more than 1.5 times as thick as the other. An unknown scanner is taken for the same.
    """
    pairs = [(one, other) for one in before for other in after]
    if any(one.scanner and other.scanner and one.scanner != other.scanner for one, other in pairs):
        return "another scanner or kernel"
    for one, other in pairs:
        if one.slice_mm and other.slice_mm:
            thin, thick = sorted((one.slice_mm, other.slice_mm))
            if thick > THICKNESS_RATIO * thin:
                return "another slice thickness"
    return ""


def lesion_sd(measured: Measured, settings: LesionSettings, *, across: bool) -> float:
    """SD of one lesion's measured size; `across` when it is compared with a scan of another scanner.

    From the protocol's table, by millilitres or, for a lesion without, by its share of the organ. Where no row is for
    such a lesion, from `repeatability_percent` r, as ln(1 + r/100) / (1.96 √2), twice that for a lesion under three
    times the minimum size.
    """
    lesion, band = measured.lesion, _band(measured, settings)
    if band is not None:
        return band.sd(across=across)
    sd = math.log1p(settings.repeatability_percent / 100.0) / (TWO_SIDED_95 * math.sqrt(2.0))
    return sd * (SMALL_FACTOR if _is_small(lesion, settings) else 1.0) * (ACROSS_FACTOR if across else 1.0)


def _band(measured: Measured, settings: LesionSettings) -> RepeatabilityBand | None:
    lesion, slice_mm = measured.lesion, measured.scan.slice_mm
    if lesion.volume_ml is not None and slice_mm is not None:
        return find_band(settings.repeatability, lesion.volume_ml, slice_mm)
    if lesion.volume_ml is None and lesion.organ_percent is not None:
        return find_share_band(settings.repeatability, lesion.organ_percent)
    return None


def total_sd(lesions: Sequence[Measured], measure: Measure, settings: LesionSettings, *, across: bool = False) -> float:
    """SD of the summed size of lesions of one visit, by the delta method.

    A share `repeatability_common` of each lesion's variance is common to all lesions of the scan (kernel, breath,
    threshold) and adds up; the rest is each lesion's own and adds in quadrature. All must have the measure.
    """
    sizes = [float(getattr(measured.lesion, measure)) for measured in lesions]
    errors = [
        size * lesion_sd(measured, settings, across=across) for size, measured in zip(sizes, lesions, strict=True)
    ]
    common = settings.repeatability_common
    variance = (1.0 - common) * sum(error**2 for error in errors) + common * sum(errors) ** 2
    return math.sqrt(variance) / sum(sizes)


def difference_sd(
    before: Sequence[Measured], after: Sequence[Measured], measure: Measure, settings: LesionSettings
) -> tuple[float, str]:
    """SD of the difference of two visits' log totals, and what made the scans unlike (see `scan_difference`)."""
    unlike = scan_difference([m.scan for m in before], [m.scan for m in after])
    return math.hypot(*(total_sd(side, measure, settings, across=bool(unlike)) for side in (before, after))), unlike


def interval(size: float, sd: float) -> tuple[float, float]:
    """The 95 % limits of the true size."""
    return size * math.exp(-TWO_SIDED_95 * sd), size * math.exp(TWO_SIDED_95 * sd)


def normal(z: float) -> float:
    """The standard normal distribution function."""
    return float(ndtr(z))


def above_minimum(measured: Measured, settings: LesionSettings) -> float:
    """Probability that a lesion is truly larger than the protocol's minimum, given its size and error."""
    lesion = measured.lesion
    if lesion.volume_ml is not None:
        ratio = lesion.volume_ml / settings.minimum_ml if settings.minimum_ml else math.inf
    else:
        ratio = lesion.voxel_count / settings.minimum_pixels
    return normal(math.log(ratio) / lesion_sd(measured, settings, across=False))


def _is_small(lesion: Lesion, settings: LesionSettings) -> bool:
    if lesion.volume_ml is not None:
        return lesion.volume_ml < SMALL * settings.minimum_ml
    return lesion.voxel_count < SMALL * settings.minimum_pixels
