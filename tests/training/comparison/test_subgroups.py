"""Subgroups are formed as said, and a model that serves one group worse is shown to."""

import numpy as np
import pandas as pd
import pytest

from tests.training.comparison.test_ranking import contest
from trialscan.training.comparison import subgroups
from trialscan.training.comparison.subgroups import attribute_levels, size_bands


def test_fixed_bands_in_millilitres():
    bands = size_bands(pd.Series([0.0, 0.5, 1.0, 4.9, 5.0, 100.0]), "ml")
    assert bands.tolist() == ["absent", "below 1 ml", "1 to 5 ml", "1 to 5 ml", "5 to 20 ml", "from 20 ml"]


def test_thirds_in_pixels():
    bands = size_bands(pd.Series([0.0, *range(1, 10)]), "pixels")
    assert bands.value_counts().sort_index().tolist() == [1, 3, 3, 3]


def test_levels_of_text_of_few_and_of_many_numbers():
    assert attribute_levels(pd.Series(["M", "", "F"])).tolist() == ["M", "not known", "F"]
    assert attribute_levels(pd.Series(["1", "2", "1"])).tolist() == ["1", "2", "1"]
    ages = attribute_levels(pd.Series([str(age) for age in range(20, 80)]))
    assert ages.nunique() == 3
    assert [int((ages == level).sum()) for level in dict.fromkeys(ages)] == [20, 20, 20]


def test_a_group_served_worse_is_seen():
    rng = np.random.default_rng(0)
    site = ["A", "B"] * 20
    fair = rng.normal(0.8, 0.03, 40)
    unfair = np.where(np.array(site) == "A", 0.9, 0.7) + rng.normal(0, 0.03, 40)
    scores = {"fair": list(fair), "unfair": list(unfair)}
    table = subgroups(contest(scores, [f"p{i}" for i in range(40)], attribute_site=site))
    of_site = table[table["attribute"] == "site"].set_index(["contestant", "level"])
    assert of_site.loc[("unfair", "A"), "mean"] == pytest.approx(0.9, abs=0.02)
    assert of_site.loc[("unfair", "B"), "mean"] == pytest.approx(0.7, abs=0.02)
    assert of_site.loc[("unfair", "A"), "p_holm"] < 0.001
    assert of_site.loc[("fair", "A"), "p_holm"] > 0.05
    ahead = of_site["ahead_of_next"].dropna()
    assert len(ahead) == 2
    assert ahead.prod() < 0


def test_the_test_counts_patients():
    """Thirty slices each of one patient at each site say nothing of the sites."""
    site = ["A"] * 30 + ["B"] * 30
    score = np.where(np.array(site) == "A", 0.9, 0.7) + np.random.default_rng(0).normal(0, 0.01, 60)
    patients = ["p1"] * 30 + ["p2"] * 30
    table = subgroups(contest({"a": list(score), "b": list(score - 0.1)}, patients, attribute_site=site))
    assert table[table["attribute"] == "site"]["p_levels"].isna().all()


def test_an_attribute_that_all_share_is_no_subgroup():
    table = subgroups(contest({"a": [0.5] * 8}, [f"p{i}" for i in range(8)], attribute_site=["A"] * 8))
    assert table.empty
