"""The comparison of the arms as a picture: change over time and at each visit, with the intervals of results.csv."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from trialscan.reports import style
from trialscan.reports.comparison import Comparison, Endpoint, Estimate
from trialscan.reports.drawing import figure_style, label, light_grid, new_figure, to_svg

COLUMNS = ["panel", "visit", "arm", "estimate", "lower", "upper"]
SLOPE, VISIT = "slope", "visit"
_WIDTH_MM, _HEIGHT_MM = 176.0, 68.0


def slope_numbers(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    """An arm's slope and interval: percent per 28 days where the endpoint is analysed as a logarithm, else per day."""
    return _first(estimate, "percent_change_per_28_days", "slope_per_day")


def visit_numbers(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    """An arm's adjusted mean change at a visit with its interval, in percent or in the parameter's unit."""
    return _first(estimate, "percent_change", "adjusted_mean_change")


def in_percent(comparison: Comparison, endpoint: Endpoint) -> bool:
    """Whether the endpoint's changes stand in percent in results.csv."""
    rows = [*comparison.of(endpoint, "random_slope"), *comparison.visitwise(endpoint)]
    return any(name.startswith("percent_") for row in rows for name in row.statistics)


def arm_table(comparison: Comparison, endpoint: Endpoint) -> pd.DataFrame:
    """The numbers drawn: a row an arm's slope, then a row a visit and arm."""
    slopes = [
        (SLOPE, "", e.arm, *slope_numbers(e)) for e in comparison.of(endpoint, "random_slope") if not e.comparator
    ]
    means = [(VISIT, e.visit, e.arm, *visit_numbers(e)) for e in comparison.visitwise(endpoint) if not e.comparator]
    known = [row for row in (*slopes, *means) if row[3] is not None]
    return pd.DataFrame(known, columns=COLUMNS)


def arm_svg(table: pd.DataFrame, arms: Sequence[str], visits: Sequence[str], title: str, *, percent: bool) -> str:
    """Slopes on the left, changes at each visit on the right; a pane whose analysis is absent says so."""
    unit = "%" if percent else "own unit"
    with figure_style():
        figure = new_figure(_WIDTH_MM, _HEIGHT_MM)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.7])
        _slopes(left, table[table["panel"] == SLOPE], arms)
        left.set_title(f"Change per {'28 days' if percent else 'day'}, {unit}")
        _visits(right, table[table["panel"] == VISIT], arms, visits)
        right.set_title(f"Adjusted mean change from baseline, {unit}")
        handles, names = right.get_legend_handles_labels()
        if handles:
            figure.legend(handles, names, loc="outside lower center", ncols=6)
        figure.suptitle(label(title), x=0.01, ha="left", fontsize=8.5, fontweight="bold")
        return to_svg(figure)


def _first(estimate: Estimate, percent: str, plain: str) -> tuple[float | None, float | None, float | None]:
    if estimate.get(percent) is None:
        return estimate.get(plain), estimate.get("lower"), estimate.get("upper")
    stem = percent.removesuffix("_per_28_days")
    return estimate.get(percent), estimate.get(f"{stem}_lower"), estimate.get(f"{stem}_upper")


def _slopes(axes: Axes, rows: pd.DataFrame, arms: Sequence[str]) -> None:
    if rows.empty:
        _absent(axes)
        return
    for index, arm in enumerate(arms):
        own = rows[rows["arm"] == arm]
        _bars(axes, [float(index)] * len(own), own, arm, index)
    shown = [(index, arm) for index, arm in enumerate(arms) if arm in set(rows["arm"])]
    axes.set_xticks([index for index, _ in shown], [label(arm, 40 // len(shown)) for _, arm in shown])
    axes.margins(x=0.35)
    _zero(axes)


def _visits(axes: Axes, rows: pd.DataFrame, arms: Sequence[str], visits: Sequence[str]) -> None:
    shown = [visit for visit in visits if visit in set(rows["visit"])]
    if not shown:
        _absent(axes)
        return
    places = {visit: index for index, visit in enumerate(shown)}
    for index, arm in enumerate(arms):
        own = rows[rows["arm"] == arm]
        shift = 0.12 * (index - (len(arms) - 1) / 2)
        _bars(axes, [places[visit] + shift for visit in own["visit"]], own, arm, index)
    axes.set_xticks(range(len(shown)), [label(visit) for visit in shown], rotation=90 if len(shown) > 8 else 0)
    axes.margins(x=0.1)
    _zero(axes)


def _bars(axes: Axes, xs: Sequence[float], rows: pd.DataFrame, arm: str, index: int) -> None:
    if rows.empty:
        return
    colour, marker = style.cycle(style.ARM_COLOURS, index), style.cycle(style.ARM_MARKERS, index)
    axes.vlines(xs, rows["lower"], rows["upper"], color=colour, linewidth=1.4)
    axes.plot(xs, rows["estimate"], color=colour, marker=marker, markersize=5.5, linestyle="none", label=label(arm))


def _zero(axes: Axes) -> None:
    axes.axhline(0, color=style.MUTED, linewidth=0.8, dashes=(4, 3))
    light_grid(axes)


def _absent(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not estimable", transform=axes.transAxes, ha="center", va="center", color=style.ALERT)
    axes.set_xticks([])
    axes.set_yticks([])
