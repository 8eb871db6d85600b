"""The covariance of the visits as a heat map: correlations, with standard deviations on the diagonal."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.patches import Rectangle

from trialscan.reports import style
from trialscan.reports.comparison import MMRM, SLOPES, Comparison
from trialscan.reports.drawing import Absent, Picture, figure_style, label, name_places, pane_figure, to_svg
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.words import number

COLUMNS = ["analysis_id", "group", "visit", "other_visit", "statistic", "value"]
SD, CORRELATION = "standard_deviation", "correlation"
_WIDTH_MM, _PANE_MM, _SIDE_MM, _NUMBERED_VISITS = 176.0, 70.0, 24.0, 10
_VISIT_CHARACTERS = 36
_SCALE = Normalize(-1, 1)


def covariance_picture(folder: RunFolder, comparison: Comparison) -> Picture | Absent:
    """Of the primary endpoint's model, a pane a group of patients that share a covariance.

    An MMRM's visits have a covariance of their own; for a random slope it is the one that the model implies.
    """
    kind = MMRM if folder.protocol.analysis.model == MMRM else SLOPES
    fits = comparison.fits(f"primary.{kind}")
    if not fits:
        return Absent(comparison.why_absent(comparison.primary))
    table = covariance_table(fits[0])
    note = "" if kind == MMRM else "Implied by the random intercept and slope at each visit's mean study day."
    return Picture(covariance_svg(table, str(fits[0]["model"])), table, note)


def covariance_table(fit: Mapping[str, Any]) -> pd.DataFrame:
    """A row each pair of visits and group: the correlation, or a visit's standard deviation, from models.json."""
    implied = fit.get("implied_covariance")
    source = fit["covariance"] if implied is None else implied
    spreads = source["spread"] if implied is None else {"all": implied}
    rows = [
        (fit["analysis_id"], group, visit, other, SD, spread["standard_deviations"][i])
        if i == j
        else (fit["analysis_id"], group, visit, other, CORRELATION, spread["correlations"][i][j])
        for group, spread in spreads.items()
        for i, visit in enumerate(source["visits"])
        for j, other in enumerate(source["visits"])
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def covariance_svg(table: pd.DataFrame, title: str) -> str:
    """Blue is a positive correlation, red a negative one, grey the diagonal of standard deviations."""
    groups, visits = list(dict.fromkeys(table["group"])), list(dict.fromkeys(table["visit"]))
    with figure_style():
        figure, panes = pane_figure(len(groups), min(_WIDTH_MM, _PANE_MM * len(groups) + _SIDE_MM), _PANE_MM)
        for axes, group in zip(panes, groups, strict=True):
            _cells(axes, table[table["group"] == group], visits)
            if len(groups) > 1:
                axes.set_title(label(group))
        colours = ScalarMappable(_SCALE, mpl.colormaps["RdBu"])
        figure.colorbar(colours, ax=panes, label="correlation", shrink=0.8, aspect=30, pad=0.02)
        figure.suptitle(label(title, 58 if len(groups) == 1 else 110), x=0.01, ha="left", fontsize=8.5)
        return to_svg(figure)


def _cells(axes: Axes, rows: pd.DataFrame, visits: Sequence[str]) -> None:
    places = {visit: index for index, visit in enumerate(visits)}
    numbered = len(visits) <= _NUMBERED_VISITS
    for row in rows.to_dict("records"):
        x, y, value, diagonal = places[row["other_visit"]], places[row["visit"]], row["value"], row["statistic"] == SD
        fill = style.RULE if diagonal else to_hex(mpl.colormaps["RdBu"](_SCALE(value)))
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=fill, edgecolor="white", linewidth=0.6))
        if numbered:
            ink = "white" if not diagonal and abs(value) > 0.6 else style.INK
            text = number(value, 3 if diagonal else 2)
            axes.text(x, y, text, ha="center", va="center", fontsize=7 if len(visits) <= 6 else 5.5, color=ink)
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, len(visits) - 0.5)
    axes.set_ylim(len(visits) - 0.5, -0.5)
    name_places(axes, visits, _VISIT_CHARACTERS)
    axes.set_yticks(range(len(visits)), [label(visit) for visit in visits])
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
