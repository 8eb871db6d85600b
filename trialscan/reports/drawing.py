"""From a matplotlib figure to SVG with the same bytes every time, and from SVG to vectors in a PDF."""

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType
from reportlab.graphics.shapes import Drawing
from svglib.svglib import svg2rlg

from trialscan.errors import ReportError
from trialscan.reports import style
from trialscan.reports.fonts import EmbeddedFonts, printable, register_fonts

_SETTINGS: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "trialscan",
    "font.family": ["DejaVu Sans"],
    "font.size": 7.5,
    "text.parse_math": False,
    "text.color": style.INK,
    "axes.edgecolor": style.MUTED,
    "axes.labelcolor": style.INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "xtick.color": style.MUTED,
    "ytick.color": style.MUTED,
    "xtick.labelcolor": style.INK,
    "ytick.labelcolor": style.INK,
    "legend.frameon": False,
    "legend.fontsize": 7.2,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
}


_LEGEND_CHARACTERS, _LEGEND_GAP = 110, 7


@dataclass(frozen=True)
class Picture:
    """A figure as SVG and the table of the numbers drawn; `note` is what its caption says of these data alone."""

    svg: str
    table: pd.DataFrame
    note: str = ""


@dataclass(frozen=True)
class Absent:
    """Why a figure is not drawn."""

    reason: str


@contextmanager
def figure_style() -> Iterator[None]:
    """Matplotlib's settings for every figure of a report, whatever the user's own are; restored on leaving."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """An empty figure of a size in mm, laid out so that labels neither overlap nor leave the edge."""
    return Figure(figsize=(width_mm / 25.4, height_mm / 25.4), layout="constrained")


def pane_figure(panes: int, width_mm: float, row_mm: float) -> tuple[Figure, list[Axes]]:
    """A figure of panes with shared axes, up to four side by side, more of them in rows of three."""
    columns = max(panes, 1) if panes <= 4 else 3
    rows = -(-max(panes, 1) // columns)
    figure = new_figure(width_mm, row_mm * (rows if rows == 1 else 0.8 * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    axes = [each for row in grid for each in row]
    for unused in axes[panes:]:
        unused.set_axis_off()
    for lowest in axes[max(panes - columns, 0) : panes]:
        lowest.tick_params(labelbottom=True)
    return figure, axes[:panes]


def to_svg(figure: Figure) -> str:
    """The figure as SVG text with real text in it; the same figure gives the same bytes."""
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": "trialscan", "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=metadata)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def to_drawing(svg: str, width_pt: float | None = None) -> Drawing:
    """SVG text as a reportlab drawing (vectors, embedded type), scaled to a width in points if given."""
    register_fonts()
    drawing = svg2rlg(io.BytesIO(svg.encode()), font_map=EmbeddedFonts())
    if drawing is None:
        raise ReportError("figure", "an SVG that cannot be drawn", "SVG as matplotlib writes it")
    if width_pt is not None:
        factor = width_pt / drawing.width
        drawing.scale(factor, factor)
        drawing.width, drawing.height = width_pt, drawing.height * factor
    return drawing


def label(text: str, columns: int = 40) -> str:
    """A name from a table made safe for a figure: unknown characters marked, broken into lines of so many columns."""
    return "\n".join(textwrap.wrap(printable(text), max(columns, 8))) or " "


def one_line(text: str, columns: int) -> str:
    """The same on one line, cut to so many columns."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= columns else f"{text[: columns - 1].rstrip()}…"


def legend_below(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """A legend under a figure of a page's width, in as many columns as its longest name leaves room for."""
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    columns = min(4, max(1, _LEGEND_CHARACTERS // (longest + _LEGEND_GAP)))
    figure.legend(handles, names, loc="outside lower center", ncols=columns)


def name_places(axes: Axes, names: Sequence[str], characters: int) -> None:
    """Names at 0, 1, … on the x axis, upright where so many characters do not hold them side by side."""
    crowded = sum(len(name) + 2 for name in names) > characters
    axes.set_xticks(range(len(names)), [label(name) for name in names], rotation=90 if crowded else 0)


def light_grid(axes: Axes) -> None:
    """Faint horizontal lines behind the data."""
    axes.grid(axis="y", color=style.RULE, linewidth=0.4)
    axes.set_axisbelow(True)
