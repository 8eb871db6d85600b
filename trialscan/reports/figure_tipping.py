"""Tipping point: how the primary difference changes as missing outcomes are made worse by delta."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from trialscan.reports import style
from trialscan.reports.comparison import Comparison
from trialscan.reports.drawing import Absent, Picture, figure_style, label, light_grid, new_figure, to_svg
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.words import number

COLUMNS = ["analysis_id", "visit", "arm", "comparator", "delta", "estimate", "se", "lower", "upper", "p"]
_WIDTH_MM, _ROW_MM, _MOST_ROWS = 176.0, 58.0, 3


def tipping_picture(folder: RunFolder, comparison: Comparison) -> Picture | Absent:
    """The estimate with its interval and the p value over delta, a row a comparison with the reference arm."""
    records = [record for record in comparison.records("tipping_point") if record["comparisons"]]
    if not records:
        return Absent(comparison.reason("tipping_point", "no tipping-point analysis was made"))
    record = records[0]
    notes = [_verdict(each) for each in record["comparisons"]]
    more = len(record["comparisons"]) - _MOST_ROWS
    if more > 0:
        notes.append(f"{more} more in the CSV.")
    return Picture(tipping_svg(record, folder.protocol.analysis.alpha), tipping_table(record), " ".join(notes))


def tipping_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """A row each comparison and delta, from models.json."""
    rows = [
        (
            record["analysis_id"],
            record["visit"],
            each["arm"],
            each["comparator"],
            *(point[name] for name in COLUMNS[4:]),
        )
        for each in record["comparisons"]
        for point in each["grid"]
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[4:], "float64"))


def tipping_svg(record: Mapping[str, Any], alpha: float) -> str:
    """Left the difference, right its p value with the level of the test; a line where the conclusion turns."""
    shown: Sequence[Mapping[str, Any]] = record["comparisons"][:_MOST_ROWS]
    with figure_style():
        figure = new_figure(_WIDTH_MM, _ROW_MM * len(shown))
        grid = figure.subplots(len(shown), 2, squeeze=False, sharex=True)
        for (left, right), each in zip(grid, shown, strict=True):
            points = pd.DataFrame(each["grid"]).astype("float64").sort_values("delta")
            left.fill_between(points["delta"], points["lower"], points["upper"], color=style.BAND)
            left.plot(points["delta"], points["estimate"], color=style.ACCENT, marker="o", markersize=2.5)
            left.axhline(0, color=style.MUTED, linewidth=0.8, dashes=(4, 3))
            left.set_title(label(f"{each['arm']} − {each['comparator']} at {record['visit']}", 50))
            left.set_ylabel("difference")
            right.plot(points["delta"], points["p"], color=style.ACCENT, marker="o", markersize=2.5)
            right.axhline(alpha, color=style.ALERT, linewidth=0.8, dashes=(4, 3))
            right.set_title(f"p value; dashed: {alpha:g}")
            right.set_ylim(0, min(1.0, max(2 * alpha, 1.08 * float(points["p"].max()))))
            for axes in (left, right):
                _turn(axes, each.get("tipping_delta"))
                light_grid(axes)
        for axes in grid[-1]:
            axes.set_xlabel("delta added to missing outcomes, on the scale of analysis")
        return to_svg(figure)


def _turn(axes: Axes, delta: float | None) -> None:
    if delta is not None:
        axes.axvline(delta, color=style.ALERT, linewidth=0.9)


def _verdict(each: Mapping[str, Any]) -> str:
    delta, who = each.get("tipping_delta"), f"{each['arm']} against {each['comparator']}"
    turn = f"{who}: the conclusion turns at delta {number(delta, 3)}." if delta is not None else ""
    return turn or f"{who}: {each.get('note') or 'the conclusion does not turn in the range examined'}."
