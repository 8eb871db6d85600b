"""Diagnostics of the primary model: scaled residuals against fitted values, and their normal quantiles."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from trialscan.reports import style
from trialscan.reports.comparison import MMRM, SLOPES, Comparison
from trialscan.reports.drawing import (
    Absent,
    Picture,
    figure_style,
    label,
    legend_below,
    light_grid,
    new_figure,
    one_line,
    to_svg,
)
from trialscan.reports.run_folder import RunFolder

COLUMNS = ["arm", "patient_id", "visit", "study_day", "fitted", "residual", "scaled_residual", "normal_quantile"]
_WIDTH_MM, _HEIGHT_MM = 176.0, 78.0
_FAR, _MOST_NAMED = 3.0, 8


def residual_picture(folder: RunFolder, comparison: Comparison) -> Picture | Absent:
    """Residuals of the primary endpoint's mixed model."""
    kind = MMRM if folder.protocol.analysis.model == MMRM else SLOPES
    every = comparison.residuals
    table = every.loc[every["analysis_id"] == f"primary.{kind}", COLUMNS].reset_index(drop=True)
    if table.empty:
        return Absent(comparison.why_absent(comparison.primary))
    return Picture(residual_svg(table, comparison.assigned_arms), table)


def residual_svg(table: pd.DataFrame, arms: Sequence[str]) -> str:
    """Left against the fitted values, right the sample's quantiles against those of a normal distribution."""
    with figure_style():
        figure = new_figure(_WIDTH_MM, _HEIGHT_MM)
        left, right = figure.subplots(1, 2, sharey=True)
        for index, arm in enumerate(arms):
            own = table[table["arm"] == arm]
            if own.empty:
                continue
            colour, marker = style.cycle(style.ARM_COLOURS, index), style.cycle(style.ARM_MARKERS, index)
            look = {"color": colour, "marker": marker, "markersize": 3, "linestyle": "none", "alpha": 0.65}
            left.plot(own["fitted"], own["scaled_residual"], label=label(arm), **look)
            right.plot(own["normal_quantile"], own["scaled_residual"], **look)
        left.axhline(0, color=style.MUTED, linewidth=0.8)
        for level in (-1.96, 1.96):
            left.axhline(level, color=style.MUTED, linewidth=0.7, dashes=(4, 3))
        right.axline((0, 0), slope=1, color=style.MUTED, linewidth=0.8)
        _name_far(left, table)
        left.set_title("Against fitted values")
        left.set_xlabel("fitted value, on the scale of analysis")
        left.set_ylabel("scaled residual")
        right.set_title("Normal QQ plot")
        right.set_xlabel("normal quantile")
        for axes in (left, right):
            light_grid(axes)
        legend_below(figure, *left.get_legend_handles_labels())
        return to_svg(figure)


def _name_far(axes: Axes, table: pd.DataFrame) -> None:
    """Patient and visit beside the residuals that are far out."""
    far = table[table["scaled_residual"].abs() > _FAR]
    for row in far.sort_values("scaled_residual", key=abs, ascending=False).head(_MOST_NAMED).itertuples(index=False):
        text = one_line(f"{row.patient_id} {row.visit}", 24)
        axes.annotate(
            text, (row.fitted, row.scaled_residual), (3, 2), textcoords="offset points", fontsize=5.5, color=style.MUTED
        )
