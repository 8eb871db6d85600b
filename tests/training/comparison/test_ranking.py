"""Ranks and paired differences against closed forms; groups, not cases, are what is sampled."""

import numpy as np
import pandas as pd
import pytest

from trialscan.training.comparison import Contest, Contestant, paired_differences, ranking
from trialscan.training.comparison.ranking import swap_test


def contest(scores: dict[str, list[float]], groups: list[str], metric: str = "dice", **facts: list) -> Contest:
    rows = [
        {
            "contestant": name,
            "case_id": f"c{place:03d}",
            "patient_id": group,
            "group": group,
            "label": "lesion",
            "score": score,
            "reference_size": 1.0,
            "size_unit": "ml",
            **{key: values[place] for key, values in facts.items()},
        }
        for name, of_name in scores.items()
        for place, (score, group) in enumerate(zip(of_name, groups, strict=True))
    ]
    return Contest(metric, tuple(Contestant(name, "s", "w") for name in scores), pd.DataFrame(rows))


def test_the_best_is_first_and_the_mean_is_over_cases():
    table = ranking(contest({"a": [0.2, 0.4, 0.9], "b": [0.6, 0.8, 0.7]}, ["p1", "p1", "p2"]))
    assert table["contestant"].tolist() == ["b", "a"]
    assert table["mean"].tolist() == pytest.approx([0.7, 0.5])
    assert table["worst"].tolist() == [0.6, 0.2]
    assert table[["cases", "groups"]].to_numpy().tolist() == [[3, 2], [3, 2]]
    assert table["lower"].isna().all()


def test_of_distances_less_is_better_and_cases_without_one_are_told():
    table = ranking(contest({"a": [5.0, 9.0, 1.0], "b": [2.0, np.nan, 2.0]}, ["p1", "p2", "p3"], "hd95_mm"))
    assert table["contestant"].tolist() == ["b", "a"]
    assert table["worst"].tolist() == [2.0, 5.0]
    assert table[["cases", "left_out"]].to_numpy().tolist() == [[2, 1], [2, 1]]


def test_the_swap_test_is_exact_over_groups():
    """Five groups that all gain: of 2⁵ swaps two are as extreme."""
    gap = np.array([0.1, 0.1, 0.2, 0.1, 0.3, 0.2])
    groups = np.array(["p1", "p1", "p2", "p3", "p4", "p5"])
    assert swap_test(gap, groups) == pytest.approx(2 / 32)
    assert swap_test(gap[:2], groups[:2]) is None


def test_a_gain_in_one_patients_many_cases_is_no_proof():
    """Sixty slices of two patients: by slices it would be overwhelming, by patients p is 2/4."""
    rng = np.random.default_rng(0)
    before = rng.uniform(0.4, 0.6, 60)
    table = paired_differences(contest({"old": list(before), "new": list(before + 0.1)}, ["p1"] * 30 + ["p2"] * 30))
    assert table["p_permutation"].item() == pytest.approx(0.5)
    assert table["difference"].item() == pytest.approx(0.1)
    assert table["lower"].isna().all()


def test_interval_covers_and_the_better_comes_first():
    rng = np.random.default_rng(1)
    before = rng.uniform(0.4, 0.6, 40)
    after = before + rng.normal(0.1, 0.05, 40)
    row = paired_differences(contest({"old": list(before), "new": list(after)}, [f"p{i}" for i in range(40)])).iloc[0]
    assert (row["contestant"], row["compared_with"]) == ("new", "old")
    assert 0.05 < row["lower"] < row["difference"] < row["upper"] < 0.15
    assert row["p_permutation"] < 0.001
    assert row["p_wilcoxon"] < 0.001
    assert row["wins"] + row["losses"] == 40


def test_no_difference_is_called_in_about_five_of_a_hundred():
    rng = np.random.default_rng(2)
    called = sum(
        swap_test(np.repeat(rng.normal(0, 1, 12), 3) + rng.normal(0, 0.2, 36), np.repeat(np.arange(12), 3)) < 0.05
        for _ in range(300)
    )
    assert called / 300 == pytest.approx(0.05, abs=0.03)


def test_holm_over_all_pairs():
    rng = np.random.default_rng(3)
    base = rng.uniform(0.4, 0.6, 30)
    scores = {"a": list(base), "b": list(base + rng.normal(0, 0.02, 30)), "c": list(base + rng.normal(0.1, 0.02, 30))}
    table = paired_differences(contest(scores, [f"p{i}" for i in range(30)]))
    raw = np.sort(table["p_permutation"].to_numpy(float))
    expected = np.maximum.accumulate(np.minimum(raw * [3, 2, 1], 1))
    assert np.sort(table["p_holm"].to_numpy(float)) == pytest.approx(expected)


def test_two_alike_have_no_rank_test():
    row = paired_differences(contest({"a": [0.5] * 6, "b": [0.5] * 6}, list("pqrstu"))).iloc[0]
    assert row["p_wilcoxon"] is None or np.isnan(row["p_wilcoxon"])
    assert row["p_permutation"] == 1
    assert (row["difference"], row["lower"], row["upper"]) == (0, 0, 0)
