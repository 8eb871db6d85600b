"""Masks against references: burden, limits of agreement, Dice of lesions by size, and reliability of probabilities."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from trialscan.reports import style
from trialscan.reports.drawing import Absent, Picture, figure_style, light_grid, new_figure, to_svg

COLUMNS = ["pane", "name", "x", "y", "lower", "upper"]
BURDEN, LIMITS, DICE, RELIABILITY = "burden", "limits_of_agreement", "dice_by_size", "reliability"
_WIDTH_MM, _ROW_MM = 176.0, 66.0
_UNITS = {"ml": "ml", "mm2": "mm²", "voxels": "voxels"}
_LINES = ("bias", "lower_limit", "upper_limit")
_ANY = "any"


def evaluation_picture(
    scans: pd.DataFrame, lesions: pd.DataFrame, agreement: pd.DataFrame, reliability: pd.DataFrame
) -> Picture | Absent:
    """The panes that the tables of an evaluation allow, of all labels together, and the numbers drawn.

    Burdens and limits need at least three scans compared, Dice a lesion in a reference, reliability probabilities.
    """
    unit = str(agreement["unit"].iloc[0]) if len(agreement) else "voxels"
    rows = [*_reliability_rows(reliability), *_dice_rows(lesions)]
    if _ANY in set(agreement["label"]):
        rows += [*_burden_rows(scans, unit), *_limit_rows(scans, agreement, unit)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    if table.empty:
        return Absent("neither three scans nor a lesion to compare")
    size = "ml" if lesions["volume_ml"].notna().all() else "voxels"
    return Picture(_svg(table, _UNITS[unit], size), table)


def _svg(table: pd.DataFrame, unit: str, size: str) -> str:
    draw: dict[str, Callable[[Axes, pd.DataFrame], None]] = {
        BURDEN: lambda axes, own: _draw_burden(axes, own, unit),
        LIMITS: lambda axes, own: _draw_limits(axes, own, unit),
        DICE: lambda axes, own: _draw_dice(axes, own, size),
        RELIABILITY: _draw_reliability,
    }
    shown = [pane for pane in draw if (table["pane"] == pane).any()]
    columns = 2 if len(shown) in {2, 4} else len(shown)
    rows = -(-len(shown) // columns)
    with figure_style():
        figure = new_figure(_WIDTH_MM, _ROW_MM * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for pane, axes in zip(shown, grid.ravel(), strict=True):
            light_grid(axes)
            draw[pane](axes, table[table["pane"] == pane])
        return to_svg(figure)


def _burden_rows(scans: pd.DataFrame, unit: str) -> Iterator[tuple[object, ...]]:
    own = _compared(scans)
    for name, x, y in zip(own["name"], own[f"reference_{unit}"], own[f"predicted_{unit}"], strict=True):
        yield BURDEN, name, float(x), float(y), None, None


def _limit_rows(scans: pd.DataFrame, agreement: pd.DataFrame, unit: str) -> Iterator[tuple[object, ...]]:
    own = _compared(scans)
    for name, one, other in zip(own["name"], own[f"predicted_{unit}"], own[f"reference_{unit}"], strict=True):
        yield LIMITS, name, (float(one) + float(other)) / 2, float(one) - float(other), None, None
    found = agreement[(agreement["label"] == _ANY) & agreement["statistic"].isin(_LINES)]
    for row in found[["statistic", "value", "lower", "upper"]].to_numpy().tolist():
        yield LIMITS, row[0], None, *row[1:]


def _dice_rows(lesions: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    own = lesions[(lesions["label"] == _ANY) & (lesions["side"] == "reference")]
    sizes = own["volume_ml"] if lesions["volume_ml"].notna().all() else own["voxels"]
    for name, lesion, x, y in zip(own["name"], own["lesion"], sizes, own["dice"], strict=True):
        yield DICE, f"{name} {lesion}", float(x), float(y), None, None


def _reliability_rows(reliability: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    if reliability.empty:
        return
    for row in reliability[reliability["voxels"] > 0].itertuples():
        yield RELIABILITY, f"{row.voxels} voxels", row.mean_probability, row.foreground_share, None, None


def _compared(scans: pd.DataFrame) -> pd.DataFrame:
    return scans[(scans["status"] == "ok") & (scans["label"] == _ANY)]


def _draw_burden(axes: Axes, own: pd.DataFrame, unit: str) -> None:
    largest = float(own[["x", "y"]].to_numpy(np.float64).max()) or 1.0
    axes.plot([0, largest], [0, largest], color=style.ORGAN, linewidth=0.8)
    axes.text(largest, largest, "equal ", ha="right", va="bottom", color=style.MUTED)
    _points(axes, own)
    axes.set_xlabel(f"reference, {unit}")
    axes.set_title(f"Predicted burden, {unit}")


def _draw_limits(axes: Axes, own: pd.DataFrame, unit: str) -> None:
    lines, points = own[own["x"].isna()], own[own["x"].notna()]
    for name, y, lower, upper in lines[["name", "y", "lower", "upper"]].to_numpy().tolist():
        axes.axhspan(lower, upper, color=style.BAND, linewidth=0)
        axes.axhline(y, color=style.MUTED, linewidth=0.8, linestyle="-" if name == "bias" else "--")
    axes.axhline(0, color=style.RULE, linewidth=0.8)
    _points(axes, points)
    axes.set_xlabel(f"mean of predicted and reference, {unit}")
    axes.set_title(f"Predicted − reference, {unit}")


def _draw_dice(axes: Axes, own: pd.DataFrame, size: str) -> None:
    missed = own["y"] == 0
    _points(axes, own[~missed])
    axes.plot(own["x"][missed], own["y"][missed], "x", markersize=3.5, color=style.ALERT, clip_on=False, zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"lesion in the reference, {size}" + (" (×: missed)" if missed.any() else ""))
    axes.set_title("Dice of each lesion")


def _draw_reliability(axes: Axes, own: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=style.ORGAN, linewidth=0.8)
    axes.plot(own["x"], own["y"], "o-", markersize=3.5, color=style.ACCENT)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("predicted probability")
    axes.set_title("Share of voxels in the reference")


def _points(axes: Axes, own: pd.DataFrame) -> None:
    axes.plot(
        own["x"],
        own["y"],
        "o",
        markersize=3.2,
        markeredgewidth=0,
        color=style.ACCENT,
        alpha=0.7,
        clip_on=False,
        zorder=3,
    )
