"""The trajectory of one patient: burden and its classes over study days, gaps where a visit gave no number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from trialscan.reports import style
from trialscan.reports.drawing import figure_style, label, light_grid, new_figure, to_svg
from trialscan.reports.run_folder import OK, RunFolder, VisitRow
from trialscan.reports.words import plain

WIDTH_MM, HEIGHT_MM = 176.0, 56.0


@dataclass(frozen=True)
class _Point:
    """One visit's place on the time axis; x is a day, or a position where days are unknown."""

    x: float
    row: VisitRow


@dataclass(frozen=True)
class _Look:
    """How one measure is drawn."""

    name: str
    colour: str
    width: float
    dashes: tuple[float, ...] = ()

    def line(self) -> dict[str, Any]:
        """Matplotlib's keywords for it."""
        size = 2.4 + self.width
        return {
            "color": self.colour,
            "linewidth": self.width,
            "marker": "o",
            "markersize": size,
            "label": label(self.name),
        }


def trajectory_svg(run: RunFolder, visits: Sequence[VisitRow]) -> str:
    """Burden in ml (where known) and in percent of the organ, side by side, as SVG."""
    points, days_known = _points(run, visits)
    measures = [unit for unit in ("ml", "percent") if any(row.number(f"burden_{unit}") is not None for row in visits)]
    with figure_style():
        figure = new_figure(WIDTH_MM, HEIGHT_MM)
        widths = [1.75, 1.0] if len(measures) == 2 else [1.0]
        panes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
        for axes, unit in zip(panes, measures or ["percent"], strict=True):
            _draw(axes, run, points, unit)
            axes.set_xlabel("study day" if days_known else "visit, in order")
            _visit_ticks(axes, points, days_known)
        handles, names = panes[0].get_legend_handles_labels()
        if len(run.classes) > 1 and handles:
            figure.legend(handles, names, loc="outside lower center", ncols=6, handlelength=2.8, columnspacing=2)
        return to_svg(figure)


def _points(run: RunFolder, visits: Sequence[VisitRow]) -> tuple[list[_Point], bool]:
    days = [run.day_of(row) for row in visits]
    known = [(day, row) for day, row in zip(days, visits, strict=True) if day is not None]
    if known:
        return [_Point(float(day), row) for day, row in known], True
    return [_Point(float(index), row) for index, row in enumerate(visits)], False


def _draw(axes: Axes, run: RunFolder, points: Sequence[_Point], unit: str) -> None:
    light_grid(axes)
    _band(axes, points, unit)
    for number, name in enumerate(run.classes):
        if len(run.classes) > 1:
            colour = style.cycle(style.CLASS_ON_PAPER, number)
            dashes = style.CLASS_DASHES[number % len(style.CLASS_DASHES)]
            _line(axes, points, f"{name}_{unit}", _Look(plain(name), colour, 1.0, dashes))
    _line(axes, points, f"burden_{unit}", _Look("all lesions", style.INK, 1.8))
    axes.margins(x=0.06)
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.1))
    _gaps(axes, points, f"burden_{unit}")
    organ = plain(run.protocol.segmentation.organ_name)
    axes.set_title("Lesion volume, ml" if unit == "ml" else f"Lesions, % of {label(organ)}")


def _line(axes: Axes, points: Sequence[_Point], column: str, look: _Look) -> None:
    values = [(point.x, point.row.number(column)) for point in points]
    known = [(x, value) for x, value in values if value is not None]
    if not known:
        return
    # A break in the line where a visit gave no number, so that nothing looks measured that was not.
    xs = [x for x, _ in values]
    ys = [float("nan") if value is None else value for _, value in values]
    axes.plot([x for x, _ in known], [y for _, y in known], color=look.colour, linewidth=0.5, dashes=(1, 2), zorder=1.5)
    line = axes.plot(xs, ys, **look.line())[0]
    if look.dashes:
        line.set_dashes(list(look.dashes))


def _band(axes: Axes, points: Sequence[_Point], unit: str) -> None:
    """The measurement error of each visit's burden, as the table gives it, and a line at the baseline."""
    lower, upper = (
        [_or_nan(point.row.number(f"burden_{side}_{unit}")) for point in points] for side in ("lower", "upper")
    )
    xs = [point.x for point in points]
    axes.fill_between(xs, lower, upper, color=style.BAND, linewidth=0, zorder=0)
    axes.vlines(xs, lower, upper, color=style.ORGAN, linewidth=0.8, zorder=0.7)
    base = next((point.row.number(f"burden_{unit}") for point in points if point.row.is_baseline), None)
    if base is not None:
        axes.axhline(base, color=style.ORGAN, linewidth=0.8, zorder=0.5)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _gaps(axes: Axes, points: Sequence[_Point], column: str) -> None:
    top = axes.get_ylim()[1]
    for point in points:
        if point.row.number(column) is None:
            axes.axvline(point.x, color=style.ALERT, linewidth=0.8, linestyle=(0, (2, 2)))
            word = "not measured" if point.row.status == OK else point.row.status
            axes.annotate(
                label(word),
                (point.x, top),
                (-3, -2),
                textcoords="offset points",
                rotation=90,
                va="top",
                ha="right",
                color=style.ALERT,
                fontsize=6.5,
            )


def _visit_ticks(axes: Axes, points: Sequence[_Point], days_known: bool) -> None:
    xs = sorted({point.x for point in points})
    if not days_known:
        axes.set_xticks(xs, [label(point.row.visit) for point in points])
    elif len(xs) <= 6:
        axes.set_xticks(xs, [f"{x:.0f}".replace("-", "−") for x in xs])
