"""Intervals without a model of the distribution: of a mean, of a median, and of detection pooled over scans."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trialscan.segmentation.evaluation.agreement import LEVEL, Estimate

Floats = NDArray[np.float64]

SEED = 20261126
RESAMPLES = 4999
FEWEST = 5
_CHUNK = 500
_ENDS = ((1 - LEVEL) / 2 * 100, (1 + LEVEL) / 2 * 100)


@dataclass(frozen=True)
class Pooled:
    """Detection over all scans: precision, recall and F1 of all lesions together, and false ones a scan."""

    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    false_per_scan: Estimate


def mean_interval(values: Floats) -> Estimate:
    """A mean with the bias-corrected and accelerated bootstrap interval (Efron, J Am Stat Assoc 1987; 82: 171).

    4,999 resamples from a fixed seed. Fewer than five values have no interval, equal ones a single point.
    """
    mean = float(values.mean())
    if len(values) < FEWEST:
        return Estimate(mean, None, None)
    if np.ptp(values) <= 1e-12 * abs(mean):
        return Estimate(mean, mean, mean)
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_CHUNK,
        confidence_level=LEVEL,
        method="BCa",
        random_state=np.random.default_rng(SEED),
    )
    return Estimate(mean, *_ends(np.asarray(found.confidence_interval)))


def median_interval(values: Floats) -> Estimate:
    """A median with its exact interval by order statistics, which needs six values."""
    found = np.asarray(stats.quantile_test(values, q=0.0, p=0.5).confidence_interval(confidence_level=LEVEL))
    low, high = _ends(found)
    known = low is not None and high is not None
    return Estimate(float(np.median(values)), low if known else None, high if known else None)


def pooled_detection(counts: Floats) -> Pooled:
    """Detection pooled over scans, with intervals by resampling whole scans, since lesions of one scan are alike.

    `counts` is (scans, 4): reference, found, predicted and true lesions. Percentile intervals of 4,999 resamples from
    a fixed seed; resamples in which a rate has no denominator are left out. Fewer than five scans have no intervals.
    """
    scans = len(counts)
    point = _rates(counts.sum(axis=0)[None], scans)[0]
    spread = np.full((2, 4), np.nan)
    if scans >= FEWEST:
        drawn = _resampled(counts)
        for place in np.flatnonzero(~np.isnan(point)):
            defined = drawn[:, place][~np.isnan(drawn[:, place])]
            spread[:, place] = np.percentile(defined, _ENDS)
    found = [_estimate(*values) for values in zip(point, *spread, strict=True)]
    return Pooled(found[0], found[1], found[2], Estimate(float(point[3]), *_ends(spread[:, 3])))


def _resampled(counts: Floats) -> Floats:
    scans, random = len(counts), np.random.default_rng(SEED)
    parts = []
    for start in range(0, RESAMPLES, _CHUNK):
        size = min(_CHUNK, RESAMPLES - start)
        weights = random.multinomial(scans, np.full(scans, 1 / scans), size=size)
        parts.append(_rates(weights @ counts, scans))
    return np.concatenate(parts)


def _rates(sums: Floats, scans: int) -> Floats:
    """Precision, recall, F1 and false lesions a scan (m, 4) from summed counts (m, 4); NaN where undefined."""
    reference, found, predicted, true = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = true / predicted, found / reference
        p, r = np.nan_to_num(precision), np.nan_to_num(recall)
        f1 = np.where(p + r > 0, 2 * p * r / (p + r), 0.0)
    f1[(predicted == 0) & (reference == 0)] = np.nan
    return np.stack([precision, recall, f1, (predicted - true) / scans], axis=1)


def _estimate(value: float, lower: float, upper: float) -> Estimate | None:
    return None if np.isnan(value) else Estimate(float(value), *_ends(np.array([lower, upper])))


def _ends(pair: Floats) -> tuple[float | None, float | None]:
    low, high = (None if np.isnan(end) else float(end) for end in pair)
    return low, high
