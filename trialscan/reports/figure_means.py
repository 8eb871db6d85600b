"""Change over time and at each visit by arm (LS-means), with the intervals of results.csv."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trialscan.reports import style
from trialscan.reports.comparison import Comparison, Endpoint, Estimate
from trialscan.reports.drawing import (
    Absent,
    Picture,
    figure_style,
    label,
    legend_below,
    light_grid,
    name_places,
    new_figure,
    one_line,
    to_svg,
)
from trialscan.reports.figure_missing import visit_order
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.words import NONE, count

COLUMNS = ["panel", "analysis_id", "visit", "arm", "n", "estimate", "lower", "upper"]
SLOPE, VISIT = "slope", "visit"
_WIDTH_MM, _HEIGHT_MM, _LINE_MM = 176.0, 66.0, 4.2
_VISIT_CHARACTERS = 60


def means_picture(folder: RunFolder, comparison: Comparison) -> Picture | Absent:
    """Slopes and adjusted mean changes of the primary endpoint; absent where neither can be estimated."""
    primary = comparison.primary
    table = means_table(comparison, primary)
    if table.empty:
        return Absent(comparison.why_absent(primary))
    order = visit_order(folder)
    percent = in_percent(comparison, primary)
    return Picture(means_svg(table, comparison.assigned_arms, order, primary.label, percent=percent), table)


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


def means_table(comparison: Comparison, endpoint: Endpoint) -> pd.DataFrame:
    """The numbers drawn: a row an arm's slope, then a row a visit and arm."""
    slopes = [
        (SLOPE, e.analysis_id, "", e.arm, e.get("n_patients"), *slope_numbers(e))
        for e in comparison.of(endpoint, "random_slope")
        if not e.comparator
    ]
    means = [
        (VISIT, e.analysis_id, e.visit, e.arm, e.get("n"), *visit_numbers(e))
        for e in comparison.visitwise(endpoint)
        if not e.comparator
    ]
    known = [row for row in (*slopes, *means) if row[5] is not None]
    return pd.DataFrame(known, columns=COLUMNS)


def means_svg(table: pd.DataFrame, arms: Sequence[str], visits: Sequence[str], title: str, *, percent: bool) -> str:
    """Slopes on the left, changes at each visit on the right over the patients they come from."""
    unit = "%" if percent else "own unit"
    with figure_style():
        figure = new_figure(_WIDTH_MM, _HEIGHT_MM + _LINE_MM * len(arms))
        left, right, below = _panes(figure, len(arms))
        _slopes(left, table[table["panel"] == SLOPE], arms)
        left.set_title(f"Change per {'28 days' if percent else 'day'}, {unit}")
        at_visits = table[table["panel"] == VISIT]
        shown = [visit for visit in visits if visit in set(at_visits["visit"])]
        _visits(right, at_visits, arms, shown)
        _patients(below, at_visits, arms, shown)
        right.set_title(f"Adjusted mean change from baseline, {unit}")
        handles, names = right.get_legend_handles_labels()
        if handles:
            legend_below(figure, handles, names)
        figure.suptitle(label(title, 90), x=0.01, ha="left", fontsize=8.5, fontweight="bold")
        return to_svg(figure)


def _panes(figure: Figure, arms: int) -> tuple[Axes, Axes, Axes]:
    """One for slopes, one for visits, and a low one under it for numbers of patients."""
    low = _LINE_MM * (arms + 0.5)
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 2.1], height_ratios=[_HEIGHT_MM - 25, low])
    right = figure.add_subplot(grid[0, 1])
    return figure.add_subplot(grid[:, 0]), right, figure.add_subplot(grid[1, 1], sharex=right)


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
        _bars(axes, [float(index)] * len(own), own, arm, index, joined=False)
    shown = [(index, arm) for index, arm in enumerate(arms) if arm in set(rows["arm"])]
    named = shown if len(shown) == 2 else []
    axes.set_xticks([index for index, _ in named], [label(arm, 20) for _, arm in named])
    axes.margins(x=0.35)
    _zero(axes)


def _visits(axes: Axes, rows: pd.DataFrame, arms: Sequence[str], shown: Sequence[str]) -> None:
    if not shown:
        _absent(axes)
        return
    places = {visit: index for index, visit in enumerate(shown)}
    step = min(0.12, 0.6 / len(arms))
    for index, arm in enumerate(arms):
        own = rows[rows["arm"] == arm].sort_values("visit", key=lambda visit: visit.map(places))
        shift = step * (index - (len(arms) - 1) / 2)
        _bars(axes, [places[visit] + shift for visit in own["visit"]], own, arm, index, joined=True)
    name_places(axes, shown, _VISIT_CHARACTERS)
    axes.margins(x=0.1)
    _zero(axes)


def _patients(axes: Axes, rows: pd.DataFrame, arms: Sequence[str], shown: Sequence[str]) -> None:
    """A line an arm: how many patients stand behind the mean at each visit."""
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)
    if not shown:
        axes.set_axis_off()
        return
    sizes = {(row["visit"], row["arm"]): row["n"] for row in rows.to_dict("records")}
    for line, arm in enumerate(arms):
        for place, visit in enumerate(shown):
            size = sizes.get((visit, arm))
            text = NONE if size is None or pd.isna(size) else count(size)
            axes.text(place, line, text, ha="center", va="center", fontsize=7)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.set_yticks(range(len(arms)), [one_line(arm, 26) for arm in arms], fontsize=6.5)


def _bars(axes: Axes, xs: Sequence[float], rows: pd.DataFrame, arm: str, index: int, *, joined: bool) -> None:
    if rows.empty:
        return
    colour, marker = style.cycle(style.ARM_COLOURS, index), style.cycle(style.ARM_MARKERS, index)
    axes.vlines(xs, rows["lower"], rows["upper"], color=colour, linewidth=1.4)
    line = {"linestyle": "-", "linewidth": 0.8} if joined else {"linestyle": "none"}
    axes.plot(xs, rows["estimate"], color=colour, marker=marker, markersize=5.5, label=label(arm), **line)


def _zero(axes: Axes) -> None:
    axes.axhline(0, color=style.MUTED, linewidth=0.8, dashes=(4, 3))
    light_grid(axes)


def _absent(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not estimable", transform=axes.transAxes, ha="center", va="center", color=style.ALERT)
    axes.set_xticks([])
    axes.set_yticks([])
