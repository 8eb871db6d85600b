"""Percent change from baseline patient by patient: the best one as a waterfall, all of them as a spider."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from trialscan.reports import style
from trialscan.reports.comparison import Comparison, Observation
from trialscan.reports.drawing import (
    Absent,
    Picture,
    figure_style,
    label,
    legend_below,
    light_grid,
    new_figure,
    one_line,
    pane_figure,
    to_svg,
)
from trialscan.reports.figure_trajectories import thin_line
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.words import number, plural

COLUMNS = ["arm", "patient_id", "visit", "study_day", "percent_change"]
ERROR = ["error_lower_percent", "error_upper_percent"]
CEILING_PERCENT = 200.0
_WIDTH_MM, _HEIGHT_MM = 176.0, 64.0
_NAMED_PATIENTS = 60
_POINT = 3.0


def waterfall_picture(folder: RunFolder, comparison: Comparison) -> Picture | Absent:
    """The lowest percent change after baseline of each patient, from the highest to the lowest."""
    table = _with_error(best_table(comparison), folder)
    if table.empty:
        return _nothing(comparison)
    return Picture(waterfall_svg(table, comparison.arms, comparison.primary.label), table, _left_out(comparison))


def spider_picture(folder: RunFolder, comparison: Comparison) -> Picture | Absent:
    """Every patient's percent change over study days, a pane an arm; the baseline stands at 0."""
    table = _with_error(course_table(comparison), folder)
    if table.empty:
        return _nothing(comparison)
    return Picture(spider_svg(table, comparison.arms, comparison.primary.label), table, _left_out(comparison))


def best_table(comparison: Comparison) -> pd.DataFrame:
    """A row a patient: the earliest visit with the patient's lowest percent change after baseline."""
    table = _changes(comparison).sort_values(["patient_id", "percent_change", "study_day"], kind="stable")
    best = table.drop_duplicates("patient_id")
    return best.sort_values(["percent_change", "patient_id"], ascending=[False, True], ignore_index=True)


def course_table(comparison: Comparison) -> pd.DataFrame:
    """A row a patient and visit from baseline on, of the patients with a percent change and study days."""
    changes = _changes(comparison).dropna(subset=["study_day"])
    changed = set(changes["patient_id"])
    starts = [
        (row.arm, row.patient_id, row.visit, row.study_day, 0.0)
        for row in _primary(comparison)
        if row.is_baseline and row.patient_id in changed and row.study_day is not None
    ]
    table = pd.concat([pd.DataFrame(starts, columns=COLUMNS), changes]) if starts else changes
    return table.sort_values(["arm", "patient_id", "study_day"], kind="stable", ignore_index=True)


def waterfall_svg(table: pd.DataFrame, arms: Sequence[str], title: str) -> str:
    """A bar a patient, coloured by arm, before the range of its error; a bar cut off at the axis' end has its value."""
    with figure_style():
        figure = new_figure(_WIDTH_MM, _HEIGHT_MM)
        axes = figure.add_subplot()
        colours = [style.cycle(style.ARM_COLOURS, list(arms).index(arm)) for arm in table["arm"]]
        shown = table["percent_change"].clip(upper=CEILING_PERCENT)
        lower, upper = (table[name].clip(upper=CEILING_PERCENT) for name in ERROR)
        axes.bar(range(len(table)), (upper - lower).fillna(0), bottom=lower.fillna(0), color=style.BAND, width=1.0)
        axes.bar(range(len(table)), shown, color=colours, width=0.62)
        for place, value in enumerate(table["percent_change"]):
            if value > CEILING_PERCENT:
                text = f"+{number(value, 0)}"
                axes.text(place, CEILING_PERCENT * 1.02, text, rotation=90, ha="center", va="bottom", fontsize=5.5)
        _percent_axis(axes, table)
        axes.set_xlim(-0.8, len(table) - 0.2)
        named = len(table) <= _NAMED_PATIENTS
        names = [_name_end(name) for name in table["patient_id"]] if named else []
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.tick_params(axis="x", length=0)
        if not named:
            axes.set_xlabel(plural(len(table), "patient"))
        axes.set_title(label(f"{title}: best change from baseline, %", 90))
        present = [(index, arm) for index, arm in enumerate(arms) if arm in set(table["arm"])]
        handles = [Patch(color=style.cycle(style.ARM_COLOURS, index)) for index, _ in present]
        legend_below(figure, handles, [label(arm) for _, arm in present])
        return to_svg(figure)


def spider_svg(table: pd.DataFrame, arms: Sequence[str], title: str) -> str:
    """A pane an arm with shared axes, a line a patient; points mark changes beyond measurement error."""
    with figure_style():
        figure, panes = pane_figure(len(arms), _WIDTH_MM, _HEIGHT_MM)
        for index, (axes, arm) in enumerate(zip(panes, arms, strict=True)):
            colour = style.cycle(style.ARM_COLOURS, index)
            own = table[table["arm"] == arm]
            count = own["patient_id"].nunique()
            for _, rows in own.groupby("patient_id", sort=True):
                axes.plot(rows["study_day"], rows["percent_change"], color=colour, **thin_line(count))
            beyond = own[_beyond_error(own)]
            axes.plot(beyond["study_day"], beyond["percent_change"], ".", color=colour, markersize=_POINT)
            axes.set_title(label(f"{arm} (n = {count})", 90 // min(len(arms), 4)), color=colour)
            _percent_axis(axes, table)
        figure.supxlabel("study day", fontsize=7.5)
        figure.supylabel(label(f"{title}: change from baseline, %", 44), fontsize=7.5)
        return to_svg(figure)


def _name_end(patient: str) -> str:
    """A patient's name, of a long one the end, where names of one site differ."""
    name = one_line(patient, 200)
    return name if len(name) <= 14 else f"…{name[-13:]}"


def _primary(comparison: Comparison) -> list[Observation]:
    return [row for row in comparison.observations if row.parameter == comparison.primary.parameter]


def _changes(comparison: Comparison) -> pd.DataFrame:
    """Percent changes after each patient's baseline day, as analysis.csv holds them."""
    rows = _primary(comparison)
    start = {row.patient_id: row.study_day for row in rows if row.is_baseline and row.study_day is not None}
    after = [
        (row.arm, row.patient_id, row.visit, row.study_day, row.percent_change)
        for row in rows
        if row.percent_change is not None
        and not row.is_baseline
        and (row.study_day is None or row.study_day >= start.get(row.patient_id, row.study_day))
    ]
    return pd.DataFrame(after, columns=COLUMNS).astype({"study_day": "float64", "percent_change": "float64"})


def _left_out(comparison: Comparison) -> str:
    """How many patients have no bar and no line."""
    everyone = {row.patient_id for row in comparison.observations}
    absent = len(everyone - set(_changes(comparison)["patient_id"]))
    return f"Not shown: {plural(absent, 'patient')} without a baseline above 0 or a later value." if absent else ""


def _nothing(comparison: Comparison) -> Absent:
    return Absent(f"{comparison.primary.label}: no patient has a baseline above 0 and a later value")


def _with_error(table: pd.DataFrame, folder: RunFolder) -> pd.DataFrame:
    """The table with each burden's limits of measurement error; empty where the endpoint is not the burden."""
    burden = folder.protocol.endpoints.primary.measure in {"burden_ml", "burden_percent"}
    limits = folder.burden_error if burden else {}
    unknown = (None, None)
    places = zip(table["patient_id"].astype(str), table["visit"].astype(str), strict=True)
    found = [limits.get(place, unknown) for place in places]
    return table.join(pd.DataFrame(found, columns=ERROR, index=table.index, dtype="float64"))


def _beyond_error(table: pd.DataFrame) -> "pd.Series[bool]":
    change = table["percent_change"]
    return (change < table["error_lower_percent"]) | (change > table["error_upper_percent"])


def _percent_axis(axes: Axes, table: pd.DataFrame) -> None:
    """Zero, and limits that hold all values and their error up to a ceiling."""
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    light_grid(axes)
    held = table[["percent_change", *ERROR]].to_numpy(dtype="float64")
    least, most = min(float(np.nanmin(held)), 0.0), max(float(np.nanmax(held)), 0.0)
    axes.set_ylim(least - 6, most + 6 if most <= CEILING_PERCENT else CEILING_PERCENT * 1.15)
