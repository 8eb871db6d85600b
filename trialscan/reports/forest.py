"""How a forest of estimates with intervals is drawn: lines under headings, panes for scales, numbers at the right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from trialscan.reports import style
from trialscan.reports.drawing import figure_style, label, new_figure, one_line, to_svg
from trialscan.reports.words import interval

_WIDTH_MM, _LINE_MM, _AXIS_MM, _TALLEST_MM = 176.0, 4.6, 15.0, 205.0
_LEAST_PERCENT, _MOST_PERCENT = -95.0, 1900.0
_PERCENT_TICKS = (-95, -90, -80, -60, -40, -20, 0, 25, 50, 100, 200, 400, 900, 1900)
_NAME_COLUMNS = 44


@dataclass(frozen=True)
class Line:
    """One estimate with its interval, None where it is not estimable; or a heading over such lines."""

    text: str
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    heading: bool = False


@dataclass(frozen=True)
class Pane:
    """Lines that share an axis. `percent`: differences of ratios in percent, drawn on the scale of their logarithm."""

    axis: str
    lines: tuple[Line, ...]
    percent: bool


def forest_svg(panes: Sequence[Pane]) -> str:
    """The panes one under the other; a line at 0, points with intervals, an arrow where an interval leaves the axis."""
    heights = [_LINE_MM * (len(pane.lines) + 1) for pane in panes]
    room = _TALLEST_MM - _AXIS_MM * len(panes)
    squeeze = min(1.0, room / sum(heights))
    with figure_style():
        figure = new_figure(_WIDTH_MM, squeeze * sum(heights) + _AXIS_MM * len(panes))
        grid = figure.subplots(len(panes), 1, height_ratios=heights, squeeze=False)
        for axes, pane in zip(grid[:, 0], panes, strict=True):
            _draw(axes, pane, fontsize=max(3.0, 7.0 * squeeze))
        return to_svg(figure)


def _draw(axes: Axes, pane: Pane, fontsize: float) -> None:
    ends = _limits(pane)
    if pane.percent:
        axes.set_xscale("function", functions=(_log_ratio, _percent_of))
    axes.set_xlim(*ends)
    axes.set_ylim(len(pane.lines) - 0.4, -0.7)
    axes.axvline(0, color=style.MUTED, linewidth=0.8, dashes=(4, 3))
    for place, line in enumerate(pane.lines):
        if not line.heading:
            _estimate(axes, place, line, ends)
            axes.text(
                1.02, place, _numbers(line, pane), transform=axes.get_yaxis_transform(), va="center", size=fontsize
            )
    names = [one_line(line.text, _NAME_COLUMNS) for line in pane.lines]
    axes.set_yticks(range(len(names)), names, fontsize=fontsize)
    for tick, line in zip(axes.get_yticklabels(), pane.lines, strict=True):
        tick.set_fontweight("bold" if line.heading else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(label(pane.axis, 90))
    _ticks(axes, pane, ends)


def _numbers(line: Line, pane: Pane) -> str:
    if line.estimate is None:
        return "not estimable"
    return interval(line.estimate, line.lower, line.upper, digits=1 if pane.percent else 4)


def _estimate(axes: Axes, place: int, line: Line, ends: tuple[float, float]) -> None:
    least, most = ends
    if line.lower is not None and line.upper is not None:
        axes.hlines(place, max(line.lower, least), min(line.upper, most), color=style.ACCENT, linewidth=1.2)
        for beyond, end, marker in ((line.lower < least, least, "<"), (line.upper > most, most, ">")):
            if beyond:
                axes.plot(end, place, marker=marker, color=style.ACCENT, markersize=4, clip_on=False)
    if line.estimate is not None and least <= line.estimate <= most:
        axes.plot(line.estimate, place, marker="s", color=style.ACCENT, markersize=4.2)


def _limits(pane: Pane) -> tuple[float, float]:
    """Room for all intervals and 0; differences in percent end at ratios of 1/20 and 20."""
    known = [v for line in pane.lines for v in (line.estimate, line.lower, line.upper) if v is not None]
    least, most = min([0.0, *known]), max([0.0, *known])
    if not pane.percent:
        room = 0.05 * (most - least) or 1.0
        return least - room, most + room
    low, high = _log_ratio([max(least, _LEAST_PERCENT), min(most, _MOST_PERCENT)])
    room = 0.05 * (high - low) or 0.01
    start, end = _percent_of([max(low - room, _log_ratio(_LEAST_PERCENT)), min(high + room, _log_ratio(_MOST_PERCENT))])
    return float(start), float(end)


def _ticks(axes: Axes, pane: Pane, ends: tuple[float, float]) -> None:
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0"))
    low, high = _log_ratio(ends)
    if not pane.percent or high - low < 0.7:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return
    kept: list[float] = []
    for tick in sorted(_PERCENT_TICKS, key=lambda value: (value != 0, abs(_log_ratio(value)))):
        apart = all(abs(_log_ratio(tick) - _log_ratio(other)) > (high - low) / 14 for other in kept)
        if ends[0] <= tick <= ends[1] and apart:
            kept.append(tick)
    axes.set_xticks(sorted(kept))


def _log_ratio(percent: ArrayLike) -> NDArray[np.float64]:
    """log(1 + percent / 100), kept finite below −99.9 %."""
    return np.asarray(np.log1p(np.maximum(np.asarray(percent, dtype=np.float64), -99.9) / 100))


def _percent_of(log_ratio: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(100 * np.expm1(np.asarray(log_ratio, dtype=np.float64)))
