"""Repeated measurements of lesions after Bland and Altman: ratio against size, with the limits of each class."""

import pandas as pd
from matplotlib.axes import Axes

from trialscan.reports import style
from trialscan.reports.drawing import figure_style, label, light_grid, new_figure, to_svg

WIDTH_MM, HEIGHT_MM = 176.0, 80.0
MARKS = {"same": ("o", style.INK), "different": ("^", style.ALERT)}


def repeatability_svg(pairs: pd.DataFrame, table: pd.DataFrame) -> str:
    """A point a lesion measured twice (columns mean_ml, ratio, scanners), steps at the limits that 95 % stay within.

    `table` holds the classes as repeatability.csv does; of several slice thicknesses all steps are drawn.
    """
    with figure_style():
        figure = new_figure(WIDTH_MM, HEIGHT_MM)
        axes = figure.subplots()
        light_grid(axes)
        for scanners, (mark, colour) in MARKS.items():
            some = pairs[pairs["scanners"] == scanners]
            if len(some):
                name = f"{scanners} scanner" + ("s" if scanners == "different" else "")
                axes.scatter(some["mean_ml"], some["ratio"], s=7, marker=mark, color=colour, linewidth=0, label=name)
        axes.axhline(1.0, color=style.ORGAN, linewidth=0.8)
        _limits(axes, table[(table["subject"] == "lesion") & (table["scanners"] == "same")], pairs["mean_ml"].max())
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("geometric mean of both volumes, ml")
        axes.set_title(label("second volume / first volume"))
        axes.legend(loc="upper right")
        return to_svg(figure)


def _limits(axes: Axes, classes: pd.DataFrame, largest_ml: float) -> None:
    """Repeatability of each class from its least size to the next one's."""
    for _, group in classes.groupby("max_slice_mm", dropna=False):
        rows = group.sort_values("from_ml")
        starts = rows["from_ml"].tolist()
        ends = [*starts[1:], max(largest_ml, starts[-1])]
        for column in ("decrease_percent", "increase_percent"):
            axes.hlines(1.0 + rows[column] / 100.0, starts, ends, color=style.ORGAN, linewidth=0.8, linestyle="--")
