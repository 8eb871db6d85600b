"""Agreement of the burden over the scans of a folder: a row a statistic."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.segmentation.evaluation.agreement import (
    Estimate,
    concordance_correlation,
    intraclass_correlations,
    limits_of_agreement,
    pearson_correlation,
    proportional_bias,
)
from trialscan.segmentation.evaluation.interval import mean_interval

COLUMNS = ("label", "unit", "statistic", "n", "value", "lower", "upper")
FEWEST_SCANS = 3
_UNITS = ("ml", "mm2", "voxels")
Floats = NDArray[np.float64]


def burden_unit(scans: pd.DataFrame) -> str:
    """Millilitres if every scan has them, else square millimetres if every scan has those, else voxels."""
    return next(unit for unit in _UNITS if scans[f"reference_{unit}"].notna().all())


def agreement_table(scans: pd.DataFrame) -> pd.DataFrame:
    """Statistics of predicted against reference burden by label, of labels with at least three compared scans."""
    rows = []
    for label, group in scans[scans["status"] == "ok"].groupby("label", sort=False):
        if len(group) < FEWEST_SCANS:
            continue
        unit = burden_unit(group)
        first, second = (group[f"{side}_{unit}"].to_numpy(np.float64) for side in ("predicted", "reference"))
        for statistic, n, found in _statistics(first, second):
            if found is not None:
                rows.append((label, unit, statistic, n, found.value, found.lower, found.upper))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64", "lower": "float64", "upper": "float64"})


def _statistics(predicted: Floats, reference: Floats) -> Iterator[tuple[str, int, Estimate | None]]:
    n = len(predicted)
    limits = limits_of_agreement(predicted, reference)
    yield "bias", n, limits.bias
    yield "sd_of_differences", n, limits.sd
    yield "lower_limit", n, limits.lower_limit
    yield "upper_limit", n, limits.upper_limit
    yield "mean_absolute_difference", n, mean_interval(np.abs(predicted - reference))
    yield "proportional_bias", n, proportional_bias(predicted, reference)
    yield from _ratios(predicted, reference)
    correlations = intraclass_correlations(np.stack([predicted, reference], axis=1))
    yield "icc_a1", n, None if correlations is None else correlations[0]
    yield "icc_c1", n, None if correlations is None else correlations[1]
    yield "pearson_r", n, pearson_correlation(predicted, reference)
    yield "concordance", n, concordance_correlation(predicted, reference)


def _ratios(predicted: Floats, reference: Floats) -> Iterator[tuple[str, int, Estimate]]:
    """Limits of agreement of logarithms as percent of the reference, over scans in which both are above 0."""
    both = (predicted > 0) & (reference > 0)
    if both.sum() < FEWEST_SCANS:
        return
    limits = limits_of_agreement(np.log(predicted[both]), np.log(reference[both]))
    named = {"bias": limits.bias, "lower_limit": limits.lower_limit, "upper_limit": limits.upper_limit}
    for name, found in named.items():
        ends = (float(100 * np.expm1(end)) for end in (found.value, found.lower, found.upper) if end is not None)
        yield f"{name}_percent", int(both.sum()), Estimate(*ends)
