"""The course of every patient: one line each, by arm for the trial report, without arms for the index."""

from collections.abc import Sequence
from statistics import median_low
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from trialscan.reports import style
from trialscan.reports.comparison import DESCRIPTIVE, UNASSIGNED, Comparison, Estimate
from trialscan.reports.drawing import Absent, Picture, figure_style, label, light_grid, new_figure, pane_figure, to_svg
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.words import plain

_WIDTH_MM, _HEIGHT_MM, _MANY = 176.0, 68.0, 60
COLUMNS = ["arm", "patient_id", "visit", "study_day", "value"]


def trajectories_picture(folder: RunFolder, comparison: Comparison) -> Picture | Absent:
    """The primary endpoint as measured, with the means of arms at visits with enough patients."""
    primary = comparison.primary
    least = folder.protocol.analysis.min_patients_per_arm
    means = [row for row in comparison.of(primary, DESCRIPTIVE) if (row.get("n") or 0) >= least]
    table = trajectories_table(comparison, primary.parameter, means)
    if table.empty:
        return Absent(f"{primary.label}: no patient has a value")
    return Picture(trajectories_svg(table, comparison.arms, primary.label), table)


def trajectories_table(comparison: Comparison, parameter: str, means: Sequence[Estimate]) -> pd.DataFrame:
    """The numbers drawn: a row a patient and visit, then the arms' means, a row an arm and visit without patient_id."""
    own = [
        (row.arm, row.patient_id, row.visit, row.study_day, row.value)
        for row in comparison.observations
        if row.parameter == parameter and row.value is not None
    ]
    days = _arm_days(comparison, parameter)
    mean = [(e.arm or UNASSIGNED, "", e.visit, days.get((e.arm or UNASSIGNED, e.visit)), e.get("mean")) for e in means]
    return pd.DataFrame([*own, *mean], columns=COLUMNS)


def trajectories_svg(table: pd.DataFrame, arms: Sequence[str], title: str) -> str:
    """A pane an arm with shared axes: thin lines are patients, the thick one the arm's mean at each visit."""
    with figure_style():
        figure, panes = pane_figure(len(arms), _WIDTH_MM, _HEIGHT_MM)
        for index, (axes, arm) in enumerate(zip(panes, arms, strict=True)):
            rows = table[table["arm"] == arm]
            colour = style.cycle(style.ARM_COLOURS, index)
            _patients(axes, rows[rows["patient_id"] != ""], colour)
            _mean(axes, rows[rows["patient_id"] == ""], index)
            count = rows.loc[rows["patient_id"] != "", "patient_id"].nunique()
            axes.set_title(label(f"{arm} (n = {count})", 90 // min(len(arms), 4)), color=colour)
            light_grid(axes)
        figure.supxlabel("study day", fontsize=7.5)
        figure.supylabel(label(title), fontsize=7.5)
        panes[0].set_ylim(bottom=0)
        return to_svg(figure)


def cohort_svg(run: RunFolder) -> str:
    """Every patient's burden over study days, without arms and without names."""
    measure = run.protocol.endpoints.primary.measure
    with figure_style():
        figure = new_figure(_WIDTH_MM, _HEIGHT_MM * 0.85)
        axes = figure.add_subplot()
        look = thin_line(len(run.patient_ids))
        for patient in run.patient_ids:
            points = [(row.study_day, row.number(measure)) for row in run.visits_of(patient)]
            known = [(day, value) for day, value in points if day is not None and value is not None]
            axes.plot([day for day, _ in known], [value for _, value in known], color=style.ACCENT, **look)
        axes.set_xlabel("study day")
        axes.set_ylabel(measure_words(measure))
        axes.set_ylim(bottom=0)
        light_grid(axes)
        return to_svg(figure)


def measure_words(measure: str) -> str:
    """A measure's column as words: `burden_ml` becomes `burden, ml`."""
    name, _, unit = measure.rpartition("_")
    return f"{plain(name)}, {'%' if unit == 'percent' else unit}"


def thin_line(patients: int) -> dict[str, Any]:
    """How the line of one of so many patients is drawn: fainter where they are many."""
    look = {"linewidth": 0.7, "markersize": 1.8, "alpha": 0.55}
    return {"marker": "o", **(look if patients <= _MANY else {"linewidth": 0.45, "markersize": 1.0, "alpha": 0.4})}


def _arm_days(comparison: Comparison, parameter: str) -> dict[tuple[str, str], float]:
    """Where an arm's mean at a visit is drawn: the middle one of its patients' days."""
    days: dict[tuple[str, str], list[float]] = {}
    for row in comparison.observations:
        if row.parameter == parameter and row.study_day is not None:
            days.setdefault((row.arm, row.visit), []).append(row.study_day)
    return {place: median_low(found) for place, found in days.items()}


def _patients(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    timed = rows.dropna(subset=["study_day"]).sort_values("study_day")
    look = thin_line(timed["patient_id"].nunique())
    for _, own in timed.groupby("patient_id", sort=True):
        axes.plot(own["study_day"], own["value"], color=colour, **look)


def _mean(axes: Axes, rows: pd.DataFrame, index: int) -> None:
    known = rows.dropna(subset=["study_day", "value"]).sort_values("study_day")
    if not known.empty:
        marker = style.cycle(style.ARM_MARKERS, index)
        axes.plot(known["study_day"], known["value"], color=style.INK, linewidth=2, marker=marker, markersize=4.5)
