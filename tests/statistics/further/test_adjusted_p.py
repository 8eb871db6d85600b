"""Adjustment of the primary comparisons: which hypotheses, in which families, and what counts as rejected."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.statistics.conftest import as_analysis, simulate
from trialscan.errors import StatisticsError
from trialscan.statistics import AnalysisPlan, EndpointPlan, compare_arms
from trialscan.statistics.further.adjusted_p import adjust_comparisons
from trialscan.statistics.further.plan import FamilyPlan, FurtherPlan, MultiplicityPlan
from trialscan.statistics.rows import ResultRow, results_table

ENDPOINTS = (EndpointPlan("AML", primary=True), EndpointPlan("BML"), EndpointPlan("CML"))
ARMS = pd.DataFrame({"TRT01P": ["a", "b", "c", None]})


def adjusted(p: dict[str, list[float | None]], multiplicity: MultiplicityPlan, arms: pd.DataFrame = ARMS):
    """(endpoint's code, arm) → adjusted p; `p` holds each endpoint's p values of arms b and c against a."""
    plan = AnalysisPlan(ENDPOINTS, further=FurtherPlan(multiplicity=multiplicity))
    rows = [
        ResultRow(f"{name}.random_slope", name, "p", value, arm=arm, comparator="a")
        for name, values in p.items()
        for arm, value in zip("bc", values, strict=False)
    ]
    out, record, _ = adjust_comparisons(arms, plan, rows)
    table = results_table(out)
    chosen = table[table["statistic"] == "p_adjusted"]
    return {(row.parameter, row.arm): row.value for row in chosen.itertuples()}, table, record


P = {"primary": [0.01, 0.02], "secondary1": [0.001, 0.03], "secondary2": [0.2, 0.04]}


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("holm", [0.05, 0.08, 0.006, 0.09, 0.2, 0.09]),
        ("hochberg", [0.05, 0.08, 0.006, 0.08, 0.2, 0.08]),
        ("fixed_sequence", [0.01, 0.02, 0.02, 0.03, 0.2, 0.2]),
    ],
)
def test_all_comparisons_are_one_family(method, expected):
    found, table, record = adjusted(P, MultiplicityPlan(method))
    assert list(found) == [(code, arm) for code in ("AML", "BML", "CML") for arm in "bc"]
    assert list(found.values()) == pytest.approx(expected)
    rejected = table[table["statistic"] == "rejected"]["value"].tolist()
    assert rejected == [float(value <= 0.05) for value in found.values()]
    assert set(table["analysis_id"]) == {"multiplicity"}
    assert [each["p_adjusted"] for each in record["hypotheses"]] == list(found.values())
    assert record["families"][0]["endpoints"] == ["primary", "secondary1", "secondary2"]


def test_the_primary_endpoint_gates_the_secondary_ones_by_default():
    found, _, record = adjusted(P, MultiplicityPlan("gatekeeping"))
    assert list(found.values()) == pytest.approx([0.02, 0.02, 0.02, 0.09, 0.2, 0.09])
    assert [family["endpoints"] for family in record["families"]] == [["primary"], ["secondary1", "secondary2"]]
    assert {family["within"] for family in record["families"]} == {"Holm (1979), step-down"}


def test_families_as_named():
    families = (FamilyPlan(("secondary2",), "hochberg"), FamilyPlan(("primary",), "bonferroni"))
    found, _, record = adjusted(P, MultiplicityPlan("gatekeeping", families))
    assert found == pytest.approx({("CML", "b"): 0.2, ("CML", "c"): 0.08, ("AML", "b"): 0.2, ("AML", "c"): 0.2})
    assert [each["family"] for each in record["hypotheses"]] == [1, 1, 2, 2]


def test_a_comparison_that_could_not_be_made_counts_as_one():
    found, table, _ = adjusted({**P, "primary": [0.01, None]}, MultiplicityPlan("gatekeeping"))
    assert found[("AML", "c")] == 1.0
    assert found[("BML", "b")] == 1.0
    notes = table.query("parameter == 'AML' and arm == 'c'")["note"]
    assert notes.str.contains("could not be made and counts as p = 1").all()


def test_an_earlier_visit_does_not_stand_in_for_the_last():
    plan = AnalysisPlan(ENDPOINTS[:1], model="mmrm", further=FurtherPlan(multiplicity=MultiplicityPlan("holm")))
    at = {"analysis_id": "primary.mmrm", "parameter": "AML", "arm": "b", "comparator": "a"}
    rows = [ResultRow(statistic="p", value=0.01, visit="V1", **at)]
    rows.append(ResultRow(statistic="not_estimable", value=None, visit="V2", **at))
    out, _, _ = adjust_comparisons(ARMS[:2], plan, rows)
    assert {(row.statistic, row.value) for row in out} == {("p", 1.0), ("p_adjusted", 1.0), ("rejected", 0.0)}


def test_plans_that_cannot_be_followed():
    with pytest.raises(StatisticsError, match="1 arm"):
        adjusted(P, MultiplicityPlan("holm"), pd.DataFrame({"TRT01P": ["a"]}))
    with pytest.raises(StatisticsError, match="expected one of none, holm, hochberg"):
        adjusted(P, MultiplicityPlan("tukey"))
    with pytest.raises(StatisticsError, match="no endpoint 'secondary7'"):
        adjusted(P, MultiplicityPlan("gatekeeping", (FamilyPlan(("secondary7",)),)))


@pytest.mark.parametrize("model", ["random_slope", "mmrm"])
def test_the_p_values_are_those_of_the_primary_comparisons(model):
    one, two = as_analysis(simulate(7)), as_analysis(simulate(8), "ORGANML", "Organ (ml)")
    plan = AnalysisPlan(
        (EndpointPlan("BURDENML", primary=True), EndpointPlan("ORGANML")),
        model=model,
        further=FurtherPlan(multiplicity=MultiplicityPlan("holm")),
    )
    comparison = compare_arms(pd.concat([one, two]), plan)
    results = comparison.results
    last = {"random_slope": "", "mmrm": "V3"}[model]
    for name, code in {"primary": "BURDENML", "secondary1": "ORGANML"}.items():
        mine = results[(results["analysis_id"] == f"{name}.{model}") & (results["comparator"] == "a")]
        p = mine[(mine["statistic"] == "p") & (mine["visit"] == last)]["value"].tolist()
        adjusted = results[(results["analysis_id"] == "multiplicity") & (results["parameter"] == code)]
        assert adjusted[adjusted["statistic"] == "p"]["value"].tolist() == p
        assert set(adjusted["visit"]) == {last}
    without = compare_arms(pd.concat([one, two]), replace(plan, further=FurtherPlan()))
    assert "multiplicity" not in set(without.results["analysis_id"])
