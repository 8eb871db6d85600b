"""Against figures printed in the literature, and closed testing from its definition."""

from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from trialscan.errors import StatisticsError
from trialscan.statistics.further import adjust_p, analyse_events, analyse_responders, gatekeep
from trialscan.statistics.further.zeros import zero_inflation


def patients(**arms: list) -> pd.DataFrame:
    """A row a patient; each arm's list holds its rows."""
    rows = [(arm, *(each if isinstance(each, tuple) else (each,))) for arm, given in arms.items() for each in given]
    table = pd.DataFrame(rows).rename(columns={0: "arm"})
    return table.assign(id=[f"P{number:03d}" for number in range(len(table))])


@pytest.mark.parametrize(
    ("a", "m", "b", "n", "lower", "upper"),
    [  # Newcombe 1998, Statistics in Medicine 17: 873–890, table II, method 10
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_newcombes_examples(a, m, b, n, lower, upper):
    table = patients(one=[1] * a + [0] * (m - a), two=[1] * b + [0] * (n - b)).rename(columns={1: "response"})
    found = analyse_responders(table, patient="id", arm="arm", response="response", reference="two").comparisons
    row = found.loc["one"]
    assert row["risk_difference"] == pytest.approx(a / m - b / n)
    assert_allclose([row["risk_difference_lower"], row["risk_difference_upper"]], [lower, upper], atol=5.1e-5)


TREATED = [(6, 1)] * 3 + [(7, 1), (10, 1), (13, 1), (16, 1), (22, 1), (23, 1), (6, 0), (9, 0), (10, 0), (11, 0)]
TREATED += [(17, 0), (19, 0), (20, 0), (25, 0), (32, 0), (32, 0), (34, 0), (35, 0)]
PLACEBO = [(time, 1) for time in (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)]


def test_remission_of_leukaemia_under_mercaptopurine():
    """Freireich et al. 1963, as analysed by R's survival: survfit, survdiff and coxph with Efron's ties."""
    table = patients(mercaptopurine=TREATED, placebo=PLACEBO).rename(columns={1: "week", 2: "event"})
    keys = {"patient": "id", "arm": "arm", "time": "week", "event": "event"}
    found = analyse_events(table, reference="mercaptopurine", **keys)
    curve = found.kaplan_meier.loc["mercaptopurine"]
    assert_allclose(curve["survival"], [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=5e-4)
    assert list(curve["at_risk"]) == [21, 17, 15, 12, 11, 7, 6]
    assert found.medians.loc["mercaptopurine"].tolist() == [23.0, 13.0, np.inf]
    assert found.medians.loc["placebo"].tolist() == [8.0, 4.0, 11.0]
    assert found.logrank[0] == pytest.approx(16.79, abs=5e-3)
    assert found.coefficients.loc["arm[T.placebo]", "estimate"] == pytest.approx(1.5721, abs=5e-5)
    assert found.coefficients.loc["arm[T.placebo]", "se"] == pytest.approx(0.4124, abs=5e-5)


def test_zeros_of_urinary_infections():
    """98 men with HIV (van den Broek 1995, Biometrics 51: 738–743): score statistic 15.34."""
    y = np.repeat([0.0, 1.0, 2.0, 3.0], [81, 9, 7, 1])
    found = zero_inflation(y, np.ones((98, 1)), np.full(98, y.mean()), 0.0)
    assert found.chi2 == pytest.approx(15.34, abs=5e-3)
    assert found.observed.sum() == 81
    assert found.expected.sum() == pytest.approx(98 * np.exp(-26 / 98))


def closed(p: dict[str, float], local) -> dict[str, float]:
    """Adjusted p values by closed testing (Marcus, Peritz & Gabriel 1976): the largest over all intersections."""
    names = list(p)
    every = chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1))
    tested = {each: local({name: p[name] for name in each}) for each in every}
    return {name: max(value for each, value in tested.items() if name in each) for name in names}


def bonferroni(p: dict[str, float]) -> float:
    return min(1.0, len(p) * min(p.values()))


def simes(p: dict[str, float]) -> float:
    return min(len(p) * value / rank for rank, value in enumerate(sorted(p.values()), start=1))


def drawn(seed: int, letter: str, size: int) -> dict[str, float]:
    """p values, many of them small, some equal."""
    return {f"{letter}{n}": float(p) for n, p in enumerate(np.random.default_rng(seed).beta(0.3, 2, size).round(2))}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_holm_and_hommel_are_closed_tests(size):
    p = drawn(size, "H", size)
    for method, local in {"holm": bonferroni, "hommel": simes}.items():
        assert_allclose(list(adjust_p(p, method).values()), list(closed(p, local).values()), atol=1e-12)


@pytest.mark.parametrize(("seed", "first", "second"), [(1, 1, 3), (2, 2, 2), (3, 3, 3), (4, 4, 1)])
def test_serial_gatekeeping_is_the_closed_test_that_looks_at_the_first_family_present(seed, first, second):
    one, two = drawn(seed, "A", first), drawn(seed + 10, "B", second)

    def local(p):
        gate = {name: value for name, value in p.items() if name in one}
        return bonferroni(gate) if gate else simes(p)

    expected = closed(one | two, local)
    found = gatekeep([one, two], ["holm", "hommel"])
    assert_allclose([found[name] for name in expected], list(expected.values()), atol=1e-12)


def test_serial_gatekeeping_by_hand():
    """Family 1 by Holm: 2 · 0.01, then 0.03; family 2 by Hochberg: 0.012 · 2 = 0.024, 0.04; never below 0.03."""
    found = gatekeep([{"p1": 0.01, "p2": 0.03}, {"s1": 0.012, "s2": 0.04}, {"t": 0.001}], ["holm", "hochberg", "holm"])
    assert_allclose(list(found.values()), [0.02, 0.03, 0.03, 0.04, 0.04])
    closed_gate = gatekeep([{"p1": 0.01, "p2": 0.06}, {"s1": 0.001}])
    assert closed_gate == {"p1": 0.02, "p2": 0.06, "s1": 0.06}
    with pytest.raises(StatisticsError, match="1 method"):
        gatekeep([{"a": 0.1}, {"b": 0.1}], ["holm"])
