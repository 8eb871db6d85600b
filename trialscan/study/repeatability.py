"""How well a lesion's volume repeats, by size and slice thickness: what a protocol says, and what it need not say.

A row gives the within-subject standard deviation of the natural logarithm of the volume. Two measurements of an
unchanged lesion then differ by less than 1.96 √2 = 2.77 of it in 95 % of cases (Bland & Altman, Stat Methods Med Res
1999; 8: 135): their ratio lies within exp(±2.77 SD), limits that are wider upwards than downwards in percent.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from trialscan.study.conflicts import Conflict
from trialscan.study.section import Percent, Positive, Section

COEFFICIENT = 1.959963984540054 * math.sqrt(2.0)
# How much more two scanners or kernels differ than one from scan to scan, where nothing better is known: the ratio of
# simulated lesions of 1 ml on CT (docs/lesions.md).
ACROSS_FACTOR = 1.5


class RepeatabilityBand(Section):
    """Lesions from a volume on, in scans whose slices are no thicker than `max_slice_mm` (null: of any thickness).

    A row with `from_percent` is instead for lesions without millilitres, from that share of the organ on. `sd_log` is
    for two scans of one scanner and kernel, `sd_log_across` for scans of different ones; null takes `sd_log` times
    `ACROSS_FACTOR`. `source` says where the figures come from, and which of them are assumptions.
    """

    from_ml: Annotated[float, Field(ge=0)] = 0.0
    from_percent: Percent | None = None
    max_slice_mm: Positive | None = None
    sd_log: Positive
    sd_log_across: Positive | None = None
    source: str = ""

    def conflicts(self) -> Iterator[Conflict]:
        """Scans of two scanners that repeat better than those of one; a row of two kinds of size."""
        if self.from_percent is not None and (self.from_ml > 0 or self.max_slice_mm is not None):
            text = "a row for lesions without millilitres has neither from_ml nor max_slice_mm"
            yield Conflict(("from_percent",), text)
        if self.sd_log_across is not None and self.sd_log_across < self.sd_log:
            text = f"{self.sd_log_across:g} is below sd_log {self.sd_log:g}; another scanner only adds error"
            yield Conflict(("sd_log_across",), text)

    @property
    def upper_percent(self) -> float:
        """The increase in percent that 95 % of repeated measurements stay within."""
        return 100.0 * math.expm1(COEFFICIENT * self.sd_log)

    @property
    def lower_percent(self) -> float:
        """The decrease in percent, below 0, that 95 % of repeated measurements stay within."""
        return 100.0 * math.expm1(-COEFFICIENT * self.sd_log)

    def sd(self, *, across: bool) -> float:
        """The standard deviation between scans of one scanner, or across scanners."""
        if not across:
            return self.sd_log
        return self.sd_log * ACROSS_FACTOR if self.sd_log_across is None else self.sd_log_across


def find_band(bands: Sequence[RepeatabilityBand], volume_ml: float, slice_mm: float) -> RepeatabilityBand | None:
    """The row for a lesion: of the thinnest slices that include the scan's, the largest size that the lesion reaches.

    Slices thicker than all rows take the thickest, lesions smaller than all rows the smallest. None where all rows are
    for lesions without millilitres.
    """
    bands = [band for band in bands if band.from_percent is None]
    if not bands:
        return None
    thickness = [_thickness(band) for band in bands]
    limit = min((limit for limit in thickness if slice_mm <= limit), default=max(thickness))
    rows = [band for band, own in zip(bands, thickness, strict=True) if own == limit]
    return _reached(rows, volume_ml)


def find_share_band(bands: Sequence[RepeatabilityBand], organ_percent: float) -> RepeatabilityBand | None:
    """The row for a lesion without millilitres, by its share of the organ; None where there is no such row."""
    rows = [band for band in bands if band.from_percent is not None]
    return _reached(rows, organ_percent) if rows else None


def _reached(rows: Sequence[RepeatabilityBand], size: float) -> RepeatabilityBand:
    """The largest of the sizes that a lesion reaches; the smallest where it reaches none."""
    reached = [band for band in rows if _size(band) <= size]
    return max(reached, key=_size) if reached else min(rows, key=_size)


def band_conflicts(bands: Sequence[RepeatabilityBand]) -> Iterator[Conflict]:
    """Rows that say two things of the same lesion."""
    seen: set[tuple[float | None, float, float]] = set()
    for index, band in enumerate(bands):
        key = band.from_percent, band.from_ml, _thickness(band)
        if key in seen and band.from_percent is not None:
            yield Conflict((str(index), "from_percent"), f"a second row from {band.from_percent:g} % of the organ")
        elif key in seen:
            limit = "any thickness" if band.max_slice_mm is None else f"slices up to {band.max_slice_mm:g} mm"
            yield Conflict((str(index), "from_ml"), f"a second row from {band.from_ml:g} ml for {limit}")
        seen.add(key)


def _thickness(band: RepeatabilityBand) -> float:
    return float("inf") if band.max_slice_mm is None else band.max_slice_mm


def _size(band: RepeatabilityBand) -> float:
    return band.from_ml if band.from_percent is None else band.from_percent
