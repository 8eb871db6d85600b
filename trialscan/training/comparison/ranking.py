"""Who does better, by how much, and how sure that is."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from trialscan.training.comparison.contestants import Contest
from trialscan.training.experiments.tables import clustered_mean

Floats = NDArray[np.float64]
RANKING = ("label", "rank", "contestant", "cases", "groups", "left_out", "mean", "lower", "upper", "median", "worst")
PAIRS = (
    *("label", "contestant", "compared_with", "cases", "groups", "difference", "lower", "upper"),
    *("p_permutation", "p_wilcoxon", "p_holm", "wins", "losses"),
)
_PERMUTATIONS, _SEED = 9999, 20261126


def ranking(contest: Contest) -> pd.DataFrame:
    """A row a label and contestant, the best first: mean over cases with its 95 % interval, median and worst case.

    Intervals resample whole groups (`clustered_mean`), since the cases of a patient are alike. `left_out` are cases in
    which a contestant has no score (a distance to an empty mask); no contestant is judged on them.
    """
    rows = [row for label in contest.labels for row in _ranked(contest, label)]
    return pd.DataFrame(rows, columns=list(RANKING))


def _ranked(contest: Contest, label: str) -> Iterator[dict[str, Any]]:
    scores, falling = contest.scores(label), not contest.lower_wins
    facts = contest.facts(label)
    groups = facts.loc[scores.index, "group"].to_numpy()
    order = scores.mean().sort_values(ascending=not falling, kind="stable")
    for rank, name in enumerate(order.index, start=1):
        values = scores[name].to_numpy(float)
        found = clustered_mean(values, groups)
        yield {
            "label": label,
            "rank": rank,
            "contestant": name,
            "cases": len(values),
            "groups": len(set(groups)),
            "left_out": len(facts) - len(values),
            "mean": found.value,
            "lower": found.lower,
            "upper": found.upper,
            "median": float(np.median(values)),
            "worst": float(values.min() if falling else values.max()),
        }


def paired_differences(contest: Contest) -> pd.DataFrame:
    """A row a label and pair of contestants, the better one first.

    difference, lower, upper : mean over cases of the first less the second, resampling whole groups.
    p_permutation : two-sided, of swapping the two within whole groups (exact up to 13 groups, else 9,999 draws from a
        fixed seed; Fisher, The Design of Experiments, 1935). p_holm is the same, adjusted over all rows of the table
        (Holm, Scand J Stat 1979; 6: 65).
    p_wilcoxon : signed ranks of the groups' mean differences (Wilcoxon, Biometrics Bull 1945; 1: 80).
    wins, losses : groups in which the first did better, and worse.
    """
    rows = [row for label in contest.labels for row in _pairs(contest, label)]
    table = pd.DataFrame(rows, columns=list(PAIRS))
    if known := [index for index, p in table["p_permutation"].items() if p is not None and not np.isnan(p)]:
        table.loc[known, "p_holm"] = multipletests(table.loc[known, "p_permutation"].astype(float), method="holm")[1]
    return table


def _pairs(contest: Contest, label: str) -> Iterator[dict[str, Any]]:
    scores, sign = contest.scores(label), -1 if contest.lower_wins else 1
    groups = contest.facts(label).loc[scores.index, "group"].to_numpy()
    order = (sign * scores.mean()).sort_values(ascending=False, kind="stable").index
    for better, other in combinations(order, 2):
        gap = (scores[better] - scores[other]).to_numpy(float)
        found = clustered_mean(gap, groups)
        of_groups = pd.Series(gap).groupby(groups).mean().to_numpy()
        yield {
            "label": label,
            "contestant": better,
            "compared_with": other,
            "cases": len(gap),
            "groups": len(of_groups),
            "difference": found.value,
            "lower": found.lower,
            "upper": found.upper,
            "p_permutation": swap_test(gap, groups),
            "p_wilcoxon": _signed_ranks(of_groups),
            "wins": int((sign * of_groups > 0).sum()),
            "losses": int((sign * of_groups < 0).sum()),
        }


def swap_test(gap: Floats, groups: NDArray[Any]) -> float | None:
    """Two-sided p of a mean difference of 0, were the two swapped within groups at random; None of one group."""
    sums = pd.Series(gap).groupby(groups).sum().to_numpy()
    if len(sums) < 2:
        return None
    found = stats.permutation_test(
        (sums,),
        lambda values, axis: values.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_PERMUTATIONS,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def _signed_ranks(gaps: Floats) -> float | None:
    if not np.any(gaps):
        return None
    return float(stats.wilcoxon(gaps).pvalue)
