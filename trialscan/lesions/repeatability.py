"""Measurement error from scans that were repeated without a change between them.

Differences are of natural logarithms of sizes, so that errors in proportion to size are alike for all. With d the
difference of two measurements of one lesion: within-subject SD = sqrt(mean d² / 2), repeatability coefficient =
1.96 √2 times it, and limits of agreement = mean d ± 1.96 SD(d) (Bland & Altman, Lancet 1986; 1: 307, and Stat Methods
Med Res 1999; 8: 135). Intervals are 95 %: by χ² for the within-subject SD, by t for bias and limits.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trialscan.errors import LesionError
from trialscan.study.repeatability import COEFFICIENT, RepeatabilityBand

Floats = NDArray[np.float64]

ALPHA = 0.05
SIZES_ML = (0.0, 0.3, 1.0, 3.0, 10.0)
SLICES_MM = (2.0, 4.0, None)
FEWEST_PAIRS = 10


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Agreement:
    """What repeated measurements of n subjects say, in the unit of their differences."""

    n: int
    within_sd: Estimate
    bias: Estimate
    lower_limit: Estimate
    upper_limit: Estimate

    @property
    def repeatability(self) -> float:
        """What 95 % of the differences between two measurements of one subject stay within."""
        return COEFFICIENT * self.within_sd.value


@dataclass(frozen=True)
class RepeatedLesion:
    """One lesion measured twice; volumes in ml, the slices of the thicker scan in mm."""

    patient_id: str
    lesion_id: str
    first_ml: float
    second_ml: float
    slice_mm: float
    across: bool

    @property
    def mean_ml(self) -> float:
        """The geometric mean of both volumes."""
        return math.sqrt(self.first_ml * self.second_ml)

    @property
    def difference(self) -> float:
        """Of the natural logarithms, second less first."""
        return math.log(self.second_ml / self.first_ml)


@dataclass(frozen=True)
class BandAgreement:
    """The agreement of one class of lesions: from `from_ml` to the next, slices up to `max_slice_mm` (None: any)."""

    from_ml: float
    max_slice_mm: float | None
    across: bool
    agreement: Agreement


@dataclass(frozen=True)
class Repeatability:
    """Agreement by class of lesions, and the share of the error's variance that lesions of a scan have in common."""

    bands: tuple[BandAgreement, ...]
    common: float

    def table(self) -> tuple[RepeatabilityBand, ...]:
        """Rows for a protocol, of classes with at least ten pairs within scanners.

        Lesions of a class left out take the next smaller one's. Across scanners no class repeats better than within.
        """
        enough = [band for band in self.bands if band.agreement.n >= FEWEST_PAIRS]
        other = {(band.from_ml, band.max_slice_mm): _rounded(band) for band in enough if band.across}
        rows = []
        for band in enough:
            if not band.across:
                sd, across = _rounded(band), other.get((band.from_ml, band.max_slice_mm))
                row = RepeatabilityBand(
                    from_ml=band.from_ml,
                    max_slice_mm=band.max_slice_mm,
                    sd_log=sd,
                    sd_log_across=None if across is None else max(sd, across),
                    source=f"{band.agreement.n} repeated lesions of this trial",
                )
                rows.append(row)
        return tuple(rows)


def agreement(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> Agreement:
    """Compare two measurements each of the same subjects, in their own unit.

    Raises
    ------
    LesionError
        Fewer than two pairs, as many firsts as seconds not given, or a value that is no number.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 2 or not np.isfinite([one, other]).all():
        found = f"{one.size} and {other.size} measurements"
        raise LesionError("repeatability", found, "two finite measurements each of at least two subjects")
    gaps = other - one
    n, squares = len(gaps), float((gaps**2).sum())
    sd, within = float(gaps.std(ddof=1)), math.sqrt(squares / (2 * n))
    low, high = (math.sqrt(squares / 2 / stats.chi2.ppf(p, n)) for p in (1 - ALPHA / 2, ALPHA / 2))
    z, t = stats.norm.ppf(1 - ALPHA / 2), stats.t.ppf(1 - ALPHA / 2, n - 1)
    limit_error = t * sd * math.sqrt(1 / n + z**2 / (2 * (n - 1)))
    bias = float(gaps.mean())
    return Agreement(
        n=n,
        within_sd=Estimate(within, low, high),
        bias=_around(bias, t * sd / math.sqrt(n)),
        lower_limit=_around(bias - z * sd, limit_error),
        upper_limit=_around(bias + z * sd, limit_error),
    )


def estimate_repeatability(
    pairs: Iterable[RepeatedLesion],
    sizes_ml: Sequence[float] = SIZES_ML,
    slices_mm: Sequence[float | None] = SLICES_MM,
) -> Repeatability:
    """Agreement by size (geometric mean of both volumes) and slice thickness, within and across scanners.

    Classes with fewer than two pairs are left out.
    """
    held: dict[tuple[bool, int, int], list[RepeatedLesion]] = {}
    for pair in pairs:
        size = max(place for place, least in enumerate(sizes_ml) if least <= pair.mean_ml)
        thin = next(place for place, most in enumerate(slices_mm) if most is None or pair.slice_mm <= most)
        held.setdefault((pair.across, thin, size), []).append(pair)
    held = {key: group for key, group in held.items() if len(group) > 1}
    bands = tuple(
        BandAgreement(sizes_ml[size], slices_mm[thin], across, _log_agreement(held[across, thin, size]))
        for across, thin, size in sorted(held)
    )
    sds = {key: band.agreement.within_sd.value for key, band in zip(sorted(held), bands, strict=True)}
    scaled = [(pair.patient_id, pair.difference / sds[key]) for key in held for pair in held[key] if sds[key] > 0]
    return Repeatability(bands, common_share(scaled))


def common_share(differences: Iterable[tuple[str, float]]) -> float:
    """The share of the variance that the lesions of one scan pair have in common, 0 to 1.

    The mean product of the (standardised) differences of two lesions of one pair, over the mean square: an intraclass
    correlation about 0, the value of no change; below 0 it is 0, as for pairs of single lesions.
    """
    groups: dict[str, list[float]] = {}
    for patient, difference in differences:
        groups.setdefault(patient, []).append(difference)
    squares = sum(value**2 for group in groups.values() for value in group)
    number = sum(len(group) for group in groups.values())
    crossed = sum(sum(group) ** 2 - sum(value**2 for value in group) for group in groups.values())
    couples = sum(len(group) * (len(group) - 1) for group in groups.values())
    if not couples or not squares:
        return 0.0
    return min(1.0, max(0.0, (crossed / couples) / (squares / number)))


def _log_agreement(group: Sequence[RepeatedLesion]) -> Agreement:
    return agreement(np.log([pair.first_ml for pair in group]), np.log([pair.second_ml for pair in group]))


def _around(value: float, reach: float) -> Estimate:
    return Estimate(value, value - reach, value + reach)


def _rounded(band: BandAgreement) -> float:
    """To a thousandth, and no less: a standard deviation of nothing would call every difference a change."""
    return max(0.001, round(band.agreement.within_sd.value, 3))
