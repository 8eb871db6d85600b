"""`cases.csv`, a row a variant, seed, fold, case and label, and what they come to in `summary.csv`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from trialscan.segmentation.evaluation.agreement import LEVEL, Estimate
from trialscan.training.datasets import AnnotatedCase

Floats = NDArray[np.float64]
_LEADING = ("variant", "seed", "fold", "case_id", "patient_id", "group")
_MEASURES = ("label", "dice", "surface_dice_2mm", "hd95_mm", "reference_size", "predicted_size", "size_unit")
SUMMARY = (
    *("variant", "label", "seeds", "cases", "groups", "mean_dice", "lower", "upper", "median_dice"),
    *("compared_with", "difference", "difference_lower", "difference_upper"),
)
_RESAMPLES, _SEED, _FEWEST = 4999, 20261126, 5


def case_table(rows: Sequence[Mapping[str, Any]], cases: Sequence[AnnotatedCase]) -> pd.DataFrame:
    """The measured rows with what is known of each case; attributes follow as `attribute_<name>`."""
    known = {case.case_id: case for case in cases}
    names = sorted({name for case in cases for name in case.attributes})
    filled = []
    for row in rows:
        case = known[str(row["case_id"])]
        attributes = {f"attribute_{name}": case.attributes.get(name, "") for name in names}
        filled.append({**row, "patient_id": case.patient_id, "group": case.group, **attributes})
    return pd.DataFrame(filled, columns=[*_LEADING, *_MEASURES, *(f"attribute_{name}" for name in names)])


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row a variant and label: mean Dice over cases, each the mean of its seeds, and the gain over the last variant.

    Intervals (95 %) are bias-corrected and accelerated bootstraps (Efron, J Am Stat Assoc 1987; 82: 171) of 4,999
    resamples of whole groups from a fixed seed, since the cases of a group are alike; of differences, of the groups'
    differences case by case. Fewer than five groups have none.
    """
    variants = list(dict.fromkeys(table["variant"]))
    rows = [
        row for label in dict.fromkeys(table["label"]) for row in _rows(table[table["label"] == label], label, variants)
    ]
    return pd.DataFrame(rows, columns=list(SUMMARY))


def _rows(table: pd.DataFrame, label: str, variants: Sequence[str]) -> Iterator[dict[str, object]]:
    group_of = table.drop_duplicates("case_id").set_index("case_id")["group"]
    mean = table.groupby(["variant", "case_id"])["dice"].mean().unstack("variant")
    for variant in variants:
        if variant not in mean:
            continue
        dice = mean[variant].dropna()
        groups = group_of[dice.index]
        found = clustered_mean(dice.to_numpy(), groups.to_numpy())
        row: dict[str, object] = {
            "variant": variant,
            "label": label,
            "seeds": table.loc[table["variant"] == variant, "seed"].nunique(),
            "cases": len(dice),
            "groups": groups.nunique(),
            "mean_dice": found.value,
            "lower": found.lower,
            "upper": found.upper,
            "median_dice": float(dice.median()),
        }
        last = variants[-1]
        if variant != last and last in mean:
            gain = (mean[variant] - mean[last]).dropna()
            gained = clustered_mean(gain.to_numpy(), group_of[gain.index].to_numpy())
            row |= {
                "compared_with": last,
                "difference": gained.value,
                "difference_lower": gained.lower,
                "difference_upper": gained.upper,
            }
        yield row


def clustered_mean(values: Floats, groups: NDArray[Any]) -> Estimate:
    """Mean of values with an interval that resamples whole groups."""
    sums = pd.DataFrame({"group": groups, "value": values}).groupby("group")["value"].agg(["sum", "count"])
    mean = float(values.mean())
    if len(sums) < _FEWEST:
        return Estimate(mean, None, None)
    total, count = sums["sum"].to_numpy(float), sums["count"].to_numpy(float)
    if np.ptp(total / count) <= 1e-12:
        return Estimate(mean, mean, mean)
    found = stats.bootstrap(
        (total, count),
        lambda t, n, axis: t.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=LEVEL,
        method="BCa",
        random_state=np.random.default_rng(_SEED),
    ).confidence_interval
    return Estimate(mean, float(found.low), float(found.high))


def as_csv(table: pd.DataFrame) -> str:
    """Numbers by `repr`, missing ones empty."""
    return table.to_csv(index=False, lineterminator="\n", float_format=lambda value: repr(float(str(value))))
