"""Agreement of two measurements of the same subjects: limits of agreement, intraclass and concordance correlation.

All intervals are 95 %. `first` and `second` are (n,) arrays, `second` the reference.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2
Z = float(stats.norm.ppf(1 - _TAIL))


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; ends are None where the sample is too small for one."""

    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class LimitsOfAgreement:
    """Mean and SD of the differences, first less second, and the limits between which 95 % of them are expected."""

    n: int
    bias: Estimate
    sd: Estimate
    lower_limit: Estimate
    upper_limit: Estimate


def limits_of_agreement(first: Floats, second: Floats) -> LimitsOfAgreement:
    """Bland and Altman's limits, bias ± 1.96 SD (Lancet 1986; 1: 307), of at least two pairs.

    The bias has the interval of Student's t, the SD that of χ². That of each limit is exact for normal differences:
    a limit is a quantile, so (limit − mean)/SD follows a noncentral t (Carkeet, Optom Vis Sci 2015; 92: e71, limits
    taken singly). The approximation of Bland & Altman (Stat Methods Med Res 1999; 8: 135) is symmetric about the
    limit, and too narrow outward in small samples.
    """
    gaps = first - second
    n, mean, sd = len(gaps), float(gaps.mean()), float(gaps.std(ddof=1))
    reach = float(stats.t.ppf(1 - _TAIL, n - 1)) * sd / math.sqrt(n)
    near, far = (limit_factor(n, Z, p) for p in (_TAIL, 1 - _TAIL))
    spread = [sd * math.sqrt((n - 1) / float(stats.chi2.ppf(p, n - 1))) for p in (1 - _TAIL, _TAIL)]
    return LimitsOfAgreement(
        n,
        Estimate(mean, mean - reach, mean + reach),
        Estimate(sd, spread[0], spread[1]),
        Estimate(mean - Z * sd, mean - far * sd, mean - near * sd),
        Estimate(mean + Z * sd, mean + near * sd, mean + far * sd),
    )


def limit_factor(n: int, z: float, probability: float) -> float:
    """k such that mean + k SD of n normal values exceeds their true mean + z SD with the probability given.

    These are the factors of one-sided tolerance intervals (NIST/SEMATECH e-Handbook, 7.2.6.3).
    """
    root = math.sqrt(n)
    return float(stats.nct.ppf(probability, n - 1, z * root)) / root


def proportional_bias(first: Floats, second: Floats) -> Estimate | None:
    """Slope of the differences on the means (Bland & Altman 1999, section 3.2); None where it has no interval."""
    means, gaps = (first + second) / 2, first - second
    if len(means) < 3 or np.ptp(means) == 0:
        return None
    fit = stats.linregress(means, gaps)
    reach = float(stats.t.ppf(1 - _TAIL, len(means) - 2)) * float(fit.stderr)
    return Estimate(float(fit.slope), float(fit.slope) - reach, float(fit.slope) + reach)


def intraclass_correlations(ratings: Floats) -> tuple[Estimate, Estimate] | None:
    """ICC(A,1), of absolute agreement, and ICC(C,1), of consistency, of single measurements in a two-way model.

    `ratings` is (subjects, raters). Intervals by F (McGraw & Wong, Psychol Methods 1996; 1: 30, table 7). In Shrout &
    Fleiss's names (Psychol Bull 1979; 86: 420) these are ICC(2,1) and ICC(3,1). None where no rating differs.
    """
    n, k = ratings.shape
    grand = ratings.mean()
    by_subject, by_rater = ratings.mean(axis=1, keepdims=True), ratings.mean(axis=0, keepdims=True)
    rows = k * float(((by_subject - grand) ** 2).sum()) / (n - 1)
    columns = n * float(((by_rater - grand) ** 2).sum()) / (k - 1)
    error = float(((ratings - by_subject - by_rater + grand) ** 2).sum()) / ((n - 1) * (k - 1))
    negligible = 1e-24 * max(float((ratings**2).max()), 1e-300)
    if rows <= negligible and error <= negligible:
        return None
    consistency = Estimate(1.0, 1.0, 1.0) if error <= negligible else _consistency(rows, error, n, k)
    if error <= negligible and columns <= negligible:
        return consistency, consistency
    return _absolute(rows, columns, error, n, k), consistency


def _consistency(rows: float, error: float, n: int, k: int) -> Estimate:
    ratio, df = rows / error, (n - 1) * (k - 1)
    low, high = ratio / _f(n - 1, df), ratio * _f(df, n - 1)
    return Estimate(*((f - 1) / (f + k - 1) for f in (ratio, low, high)))


def _absolute(rows: float, columns: float, error: float, n: int, k: int) -> Estimate:
    value = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    # McGraw & Wong's a and b, both times n (1 − value)/k, which an agreement of 1 leaves finite.
    a, b = value, (n * (1 - value) / k) + value * (n - 1)
    parts = (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    df = (a * columns + b * error) ** 2 / parts if parts > 0 else 1.0
    rest = (k * n - k - n) * error
    f_low, f_high = _f(n - 1, df), _f(df, n - 1)
    low = n * (rows - f_low * error) / (f_low * (k * columns + rest) + n * rows)
    high = n * (f_high * rows - error) / (k * columns + rest + n * f_high * rows)
    return Estimate(value, low, high)


def _f(numerator: float, denominator: float) -> float:
    return float(stats.f.ppf(1 - _TAIL, numerator, denominator))


def pearson_correlation(first: Floats, second: Floats) -> Estimate | None:
    """Pearson's r with Fisher's interval (from four pairs on); None where either does not vary."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    r = min(1.0, max(-1.0, float(np.corrcoef(first, second)[0, 1])))
    n = len(first)
    return _by_fisher(r, 1 / math.sqrt(n - 3) if n > 3 else None)


def concordance_correlation(first: Floats, second: Floats) -> Estimate | None:
    """Lin's concordance correlation with the interval of its z transform (from three pairs on).

    Moments are divided by n (Lin, Biometrics 1989; 45: 255, the variance as corrected there in 2000; 56: 324). None
    where no value differs from another.
    """
    n = len(first)
    spread, other, joint = float(first.var()), float(second.var()), float(np.cov(first, second, ddof=0)[0, 1])
    shift = float(first.mean() - second.mean())
    total = spread + other + shift**2
    if total == 0:
        return None
    c = min(1.0, max(-1.0, 2 * joint / total))
    if n < 3 or joint == 0 or abs(c) >= 1:
        return _by_fisher(c, None) if abs(c) < 1 else Estimate(c, c, c)
    r2, u2 = joint**2 / (spread * other), shift**2 / math.sqrt(spread * other)
    r = math.copysign(math.sqrt(r2), joint)
    variance = (1 - r2) * c**2 / ((1 - c**2) * r2)
    variance += 2 * c**3 * (1 - c) * u2 / (r * (1 - c**2) ** 2) - c**4 * u2**2 / (2 * r2 * (1 - c**2) ** 2)
    return _by_fisher(c, math.sqrt(max(variance, 0.0) / (n - 2)))


def _by_fisher(value: float, error: float | None) -> Estimate:
    if abs(value) >= 1:
        return Estimate(value, value, value)
    if error is None:
        return Estimate(value, None, None)
    middle = math.atanh(value)
    return Estimate(value, math.tanh(middle - Z * error), math.tanh(middle + Z * error))
