"""How well a lesion's volume repeats, by size and slice thickness: what a protocol says, and what it need not say.

A row gives the within-subject standard deviation of the natural logarithm of the volume. Two measurements of an
unchanged lesion then differ by less than 1.96 √2 = 2.77 of it in 95 % of cases (Bland & Altman, Stat Methods Med Res
1999; 8: 135): their ratio lies within exp(±2.77 SD), limits that are wider upwards than downwards in percent.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from trialscan.study.conflicts import Conflict
from trialscan.study.section import Positive, Section

COEFFICIENT = 1.959963984540054 * math.sqrt(2.0)


class RepeatabilityBand(Section):
    """Lesions from a volume on, in scans whose slices are no thicker than `max_slice_mm` (null: of any thickness).

    `sd_log` is for two scans of one scanner and kernel, `sd_log_across` for scans of different ones; null takes
    `sd_log` times `ACROSS_FACTOR`.
    """

    from_ml: Annotated[float, Field(ge=0)] = 0.0
    max_slice_mm: Positive | None = None
    sd_log: Positive
    sd_log_across: Positive | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """Scans of two scanners that repeat better than those of one."""
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


def find_band(bands: Sequence[RepeatabilityBand], volume_ml: float, slice_mm: float) -> RepeatabilityBand:
    """The row for a lesion: of the thinnest slices that include the scan's, the largest size that the lesion reaches.

    Slices thicker than all rows take the thickest, lesions smaller than all rows the smallest.
    """
    thickness = [_thickness(band) for band in bands]
    limit = min((limit for limit in thickness if slice_mm <= limit), default=max(thickness))
    rows = [band for band, own in zip(bands, thickness, strict=True) if own == limit]
    reached = [band for band in rows if band.from_ml <= volume_ml]
    return max(reached, key=_size) if reached else min(rows, key=_size)


def band_conflicts(bands: Sequence[RepeatabilityBand]) -> Iterator[Conflict]:
    """Rows that say two things of the same lesion."""
    seen: set[tuple[float, float]] = set()
    for index, band in enumerate(bands):
        key = band.from_ml, _thickness(band)
        if key in seen:
            limit = "any thickness" if band.max_slice_mm is None else f"slices up to {band.max_slice_mm:g} mm"
            yield Conflict((str(index), "from_ml"), f"a second row from {band.from_ml:g} ml for {limit}")
        seen.add(key)


def _thickness(band: RepeatabilityBand) -> float:
    return float("inf") if band.max_slice_mm is None else band.max_slice_mm


def _size(band: RepeatabilityBand) -> float:
    return band.from_ml


# How much more two scanners or kernels differ than one from scan to scan, where nothing better is known: the ratio in
# the simulation below, of lesions of 1 ml.
ACROSS_FACTOR = 1.5

# By simulation, for want of published values by lesion size for disease in the lung outlined by this network: phantoms
# of trialscan.phantom scanned again in another pose, and on another scanner, outlined by thorax_ct 1.2.0 (method, seeds
# and numbers: tests/benchmarks/scan_rescan.py, tests/benchmarks/repeatability_table.py, docs/lesions.md).
# Each row: from ml, slices up to mm, SD within a scanner, SD across scanners; of the natural log of the volume.
_CT = (
    (0.0, 2.0, 0.437, 0.608),
    (0.3, 2.0, 0.209, 0.31),
    (1.0, 2.0, 0.098, 0.156),
    (3.0, 2.0, 0.047, 0.08),
    (10.0, 2.0, 0.022, 0.04),
    (0.0, 4.0, 0.549, 0.69),
    (0.3, 4.0, 0.262, 0.352),
    (1.0, 4.0, 0.123, 0.177),
    (3.0, 4.0, 0.059, 0.09),
    (10.0, 4.0, 0.028, 0.045),
    (0.0, None, 0.65, 0.757),
    (0.3, None, 0.31, 0.386),
    (1.0, None, 0.145, 0.194),
    (3.0, None, 0.069, 0.099),
    (10.0, None, 0.033, 0.05),
)
SHIPPED: Mapping[str, tuple[RepeatabilityBand, ...]] = {
    "CT": tuple(
        RepeatabilityBand(from_ml=size, max_slice_mm=limit, sd_log=sd, sd_log_across=across)
        for size, limit, sd, across in _CT
    )
}
SHIPPED_COMMON: Mapping[str, float] = {"CT": 0.08}
