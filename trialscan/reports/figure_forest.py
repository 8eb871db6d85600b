"""Differences from the reference arm, of every endpoint at every visit and of the primary one in subgroups."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from trialscan.reports.comparison import SLOPES, Comparison, Endpoint, Estimate
from trialscan.reports.drawing import Absent, Picture, one_line
from trialscan.reports.forest import Line, Pane, forest_svg
from trialscan.reports.words import p_value, plain

COLUMNS = ["endpoint", "label", "analysis_id", "visit", "arm", "comparator", "scale", "estimate", "lower", "upper", "p"]
SUBGROUP_COLUMNS = [
    "analysis_id",
    "column",
    "level",
    "arm",
    "comparator",
    "patients",
    "estimate",
    "lower",
    "upper",
    "p",
    "interaction_p",
]
PERCENT, UNIT, UNIT_A_DAY = "%", "own unit", "own unit per day"
_MOST_LINES = 40


def forest_pictures(comparison: Comparison) -> dict[str, Picture | Absent]:
    """`forest` with every endpoint; where that has too many lines, `forest_primary`, `forest_secondary1`, …"""
    table = forest_table(comparison)
    if table.empty:
        return {"forest": Absent(comparison.why_absent(comparison.primary))}
    endpoints = [endpoint for endpoint in comparison.endpoints if endpoint.name in set(table["endpoint"])]
    if len(table) + len(endpoints) <= _MOST_LINES:
        return {"forest": _picture(table, endpoints)}
    return {
        f"forest_{endpoint.name}": _picture(table[table["endpoint"] == endpoint.name], [endpoint])
        for endpoint in endpoints
    }


def forest_table(comparison: Comparison) -> pd.DataFrame:
    """A row each difference in slopes and at visits, endpoints in order."""
    rows = [
        (endpoint.name, endpoint.label, e.analysis_id, e.visit, e.arm, e.comparator, scale, *numbers, e.get("p"))
        for endpoint in comparison.endpoints
        for e in (*comparison.of(endpoint, SLOPES), *comparison.visitwise(endpoint))
        for scale, numbers in [difference_numbers(e)]
        if e.comparator and numbers[0] is not None
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def difference_numbers(estimate: Estimate) -> tuple[str, tuple[float | None, float | None, float | None]]:
    """The scale of a difference, and it with its interval: in percent where results.csv has it so."""
    for name in ("percent_difference_per_28_days", "percent_difference"):
        if estimate.get(name) is not None:
            ends = estimate.get("percent_difference_lower"), estimate.get("percent_difference_upper")
            return PERCENT, (estimate.get(name), *ends)
    for name, scale in (("slope_difference_per_day", UNIT_A_DAY), ("adjusted_mean_difference", UNIT)):
        if estimate.get(name) is not None:
            return scale, (estimate.get(name), estimate.get("lower"), estimate.get("upper"))
    return UNIT, (None, None, None)


def subgroup_picture(comparison: Comparison) -> Picture | Absent:
    """The primary comparison in the levels of each subgroup, and over all of them."""
    records = comparison.records("subgroup")
    table = subgroup_table(records)
    if table.empty:
        return Absent(comparison.reason("subgroup", "no subgroups were analysed"))
    panes = [Pane(_subgroup_axis(records), tuple(_subgroup_lines(records)), percent=False)]
    return Picture(forest_svg(panes), table)


def subgroup_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row each level and arm, after those over all levels; `level` is empty for these."""
    rows = [
        (record["analysis_id"], record["column"], level.get("level") or "", *(level.get(name) for name in names), test)
        for record in records
        for names in [SUBGROUP_COLUMNS[3:-1]]
        for test in [(record.get("interaction") or {}).get("p")]
        for level in (*(record.get("overall") or ()), *record["levels"])
    ]
    return pd.DataFrame(rows, columns=SUBGROUP_COLUMNS)


def _picture(table: pd.DataFrame, endpoints: Sequence[Endpoint]) -> Picture:
    panes = []
    if (table["scale"] == PERCENT).any():
        in_percent = [each for each in endpoints if (table["scale"][table["endpoint"] == each.name] == PERCENT).any()]
        lines = [line for each in in_percent for line in _lines(table, each, PERCENT)]
        panes.append(Pane(f"Difference from {_comparators(table)}, %", tuple(lines), percent=True))
    for endpoint in endpoints:
        for scale, words in ((UNIT, "change"), (UNIT_A_DAY, "change per day")):
            if lines := _lines(table, endpoint, scale):
                axis = f"Difference from {_comparators(table)} in {words}, on the scale of analysis"
                panes.append(Pane(axis, tuple(lines), percent=False))
    return Picture(forest_svg(panes), table)


def _lines(table: pd.DataFrame, endpoint: Endpoint, scale: str) -> list[Line]:
    """A heading and a line each difference of an endpoint on a scale; none where there are no differences."""
    own = table[(table["endpoint"] == endpoint.name) & (table["scale"] == scale)]
    span = "per 28 days" if scale == PERCENT else "per day"
    several = table["arm"].nunique() > 1 or table["comparator"].nunique() > 1
    lines = []
    for row in own.to_dict("records"):
        when = f"at {row['visit']}" if row["visit"] else span
        lines.append(Line(f"{when}: {row['arm']}" if several else when, row["estimate"], row["lower"], row["upper"]))
    return [Line(endpoint.title, heading=True), *lines] if lines else []


def _comparators(table: pd.DataFrame) -> str:
    return " or ".join(sorted(set(table["comparator"])))


def _subgroup_axis(records: Sequence[Mapping[str, Any]]) -> str:
    comparators = sorted({level["comparator"] for record in records for level in record["levels"]})
    return f"Difference from {' or '.join(comparators)} in the primary comparison, on the scale of analysis"


def _subgroup_lines(records: Sequence[Mapping[str, Any]]) -> list[Line]:
    """All patients once, then a heading each column with the test of interaction, and its levels."""
    arms = {level["arm"] for record in records for level in record["levels"]}
    lines = [_subgroup_line("All patients", each, arms) for each in records[0].get("overall") or ()]
    for record in records:
        test = (record.get("interaction") or {}).get("p")
        lines.append(Line(f"{plain(str(record['column'])).capitalize()} (interaction p {p_value(test)})", heading=True))
        lines += [_subgroup_line(str(each["level"]), each, arms) for each in record["levels"]]
    return lines


def _subgroup_line(name: str, found: Mapping[str, Any], arms: Collection[str]) -> Line:
    size = found.get("patients")
    who = f", {found['arm']}" if len(arms) > 1 else ""
    text = one_line(f"{name}{who}", 34) + ("" if size is None else f" (n = {size})")
    return Line(text, found.get("estimate"), found.get("lower"), found.get("upper"))
