"""Whom a model serves worse: scores by the size of what is segmented and by what is known of the patient."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from trialscan.training.assessment import SIZE_BANDS_ML
from trialscan.training.comparison.contestants import Contest
from trialscan.training.experiments.tables import clustered_mean

SUBGROUPS = (
    *("label", "contestant", "attribute", "level", "cases", "groups", "mean", "lower", "upper"),
    *("p_levels", "p_holm", "ahead_of_next", "ahead_lower", "ahead_upper"),
)
SIZE = "size"
UNKNOWN = "not known"
_MOST_LEVELS, _PARTS, _FEWEST_GROUPS = 8, 3, 3


def subgroups(contest: Contest) -> pd.DataFrame:
    """A row a label, contestant, attribute and level of it.

    The first attribute is the `size` of the reference: bands of 1, 5 and 20 ml, or thirds of the cases where sizes are
    in pixels. A numeric attribute of more than eight values is parted at its thirds; levels of fewer than three groups
    are shown without interval.

    p_levels : whether a contestant's score differs between the levels: Kruskal and Wallis's test on means of groups
        (J Am Stat Assoc 1952; 47: 583), the smallest levels left out; p_holm is adjusted over the table's tests.
    ahead_of_next : of each label's best contestant, its mean difference from the second within the level; where its
        interval crosses 0 the ranking need not hold there.
    """
    rows = [row for label in contest.labels for row in _of_label(contest, label)]
    table = pd.DataFrame(rows, columns=list(SUBGROUPS))
    return _adjusted(table)


def _of_label(contest: Contest, label: str) -> Iterator[dict[str, Any]]:
    scores, facts = contest.scores(label), contest.facts(label)
    facts = facts.loc[scores.index]
    best = scores.mean().sort_values(kind="stable").index
    best = best if contest.lower_wins else best[::-1]
    levels = {SIZE: size_bands(facts["reference_size"], str(facts["size_unit"].iloc[0]))}
    levels |= {name: attribute_levels(facts[f"attribute_{name}"]) for name in contest.attributes}
    for attribute, level in levels.items():
        if level.nunique() < 2:
            continue
        for name in best:
            yield from _of_attribute(scores, facts["group"], level, (label, name, attribute), best)


def _of_attribute(
    scores: pd.DataFrame, groups: pd.Series, level: pd.Series, what: tuple[str, str, str], order: pd.Index
) -> Iterator[dict[str, Any]]:
    label, name, attribute = what
    p = levels_test(scores[name], groups, level)
    for value in (value for value in level.cat.categories if (level == value).any()):
        inside = level == value
        of_groups = groups[inside].to_numpy()
        found = clustered_mean(scores.loc[inside, name].to_numpy(float), of_groups)
        row: dict[str, Any] = {
            "label": label,
            "contestant": name,
            "attribute": attribute,
            "level": value,
            "cases": int(inside.sum()),
            "groups": len(set(of_groups)),
            "mean": found.value,
            "lower": found.lower,
            "upper": found.upper,
            "p_levels": p,
        }
        if name == order[0] and len(order) > 1:
            gap = (scores.loc[inside, name] - scores.loc[inside, order[1]]).to_numpy(float)
            ahead = clustered_mean(gap, of_groups)
            row |= {"ahead_of_next": ahead.value, "ahead_lower": ahead.lower, "ahead_upper": ahead.upper}
        yield row


def levels_test(score: pd.Series, groups: pd.Series, level: pd.Series) -> float | None:
    """Kruskal–Wallis p over the levels that have at least three groups; None where fewer than two have."""
    means = [score[level == value].groupby(groups[level == value]).mean() for value in level.unique()]
    large = [mean.to_numpy(float) for mean in means if len(mean) >= _FEWEST_GROUPS]
    if len(large) < 2 or np.ptp(np.concatenate(large)) == 0:
        return None
    return float(stats.kruskal(*large).pvalue)


def size_bands(sizes: pd.Series, unit: str) -> pd.Series:
    """Each case's band of size: fixed ones in ml, thirds of the cases in another unit; absence is one of its own."""
    present = sizes[sizes > 0]
    edges = np.array(SIZE_BANDS_ML) if unit == "ml" else np.quantile(present, np.linspace(0, 1, _PARTS + 1))
    inner = edges[1:-1]
    names = [f"below {inner[0]:.4g} {unit}"]
    names += [f"{low:.4g} to {high:.4g} {unit}" for low, high in pairwise(inner)]
    names.append(f"from {inner[-1]:.4g} {unit}")
    places = np.where(sizes > 0, np.searchsorted(inner, sizes, side="right") + 1, 0)
    levels = ["absent", *names]
    return pd.Series(pd.Categorical([levels[place] for place in places], levels, ordered=True), index=sizes.index)


def attribute_levels(values: pd.Series) -> pd.Series:
    """Each case's level: its own value, or the third that its number lies in where there are more than eight values."""
    known = values[values.notna() & (values != "")]
    numbers = pd.to_numeric(known, errors="coerce")
    if known.nunique() > _MOST_LEVELS and numbers.notna().all():
        inner = np.quantile(numbers, np.linspace(0, 1, _PARTS + 1))[1:-1]
        names = [f"below {inner[0]:g}", f"{inner[0]:g} to {inner[1]:g}", f"from {inner[1]:g}"]
        codes = pd.Series(np.searchsorted(inner, numbers, side="right"), index=known.index)
        levels = codes.map(dict(enumerate(names)))
    else:
        names, levels = sorted(known.unique()), known
    filled = levels.reindex(values.index).fillna(UNKNOWN)
    return pd.Series(pd.Categorical(filled, [*names, UNKNOWN], ordered=True), index=values.index)


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Holm's adjustment over the tests, of which one stands in all rows of its levels."""
    keys = ["label", "contestant", "attribute"]
    tests = table.dropna(subset=["p_levels"]).drop_duplicates(keys)
    if tests.empty:
        return table
    holm = multipletests(tests["p_levels"].astype(float), method="holm")[1]
    adjusted = tests.assign(p_holm=holm)[[*keys, "p_holm"]]
    return table.drop(columns="p_holm").merge(adjusted, on=keys, how="left")[list(SUBGROUPS)]
