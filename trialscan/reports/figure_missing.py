"""Which visits are there: a map of patients by visits, blind to arms."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from trialscan.reports import style
from trialscan.reports.drawing import Picture, figure_style, label, new_figure, to_svg
from trialscan.reports.run_folder import FAILED, MISSING, OK, RunFolder

FLAGGED = "flagged"
_LOOK = {
    OK: ("#8fbfdd", "", "measured"),
    FLAGGED: ("#f2c879", "!", "measured, flagged"),
    FAILED: ("#d55e00", "×", "failed"),
    MISSING: ("#ffffff", "–", "missing"),
}
_WIDTH_MM, _ROW_MM, _TALLEST_MM, _LABELLED_ROWS = 176.0, 4.2, 205.0, 60


def missing_picture(run: RunFolder) -> Picture:
    """The state of every visit of every patient."""
    return Picture(missing_svg(run), missing_table(run))


def missing_table(run: RunFolder) -> pd.DataFrame:
    """The numbers behind the map: patient_id, visit, study_day, state (ok, flagged, failed or missing)."""
    rows = [
        {
            "patient_id": row.patient_id,
            "visit": row.visit,
            "study_day": row.study_day,
            "state": FLAGGED if row.status == OK and row.flags else row.status,
        }
        for row in run.visits
    ]
    table = pd.DataFrame(rows, columns=["patient_id", "visit", "study_day", "state"])
    return table.astype({"study_day": "Int64"})


def visit_order(run: RunFolder) -> list[str]:
    """Visits as the protocol plans them, then others by their earliest day."""
    planned = [entry.visit for entry in run.protocol.visits.schedule]
    earliest: dict[str, float] = {}
    for row in run.visits:
        day = run.day_of(row)
        earliest[row.visit] = min(earliest.get(row.visit, float("inf")), float("inf") if day is None else day)
    others = sorted(set(earliest) - set(planned), key=lambda name: (earliest[name], name))
    return [name for name in planned if name in earliest] + others


def missing_svg(run: RunFolder) -> str:
    """The map as SVG; a visit that the protocol did not plan for a patient is left blank."""
    table, visits, patients = missing_table(run), visit_order(run), run.patient_ids
    height = min(24.0 + _ROW_MM * len(patients), _TALLEST_MM)
    with figure_style():
        figure = new_figure(_WIDTH_MM, height)
        axes = figure.add_subplot()
        places = {name: index for index, name in enumerate(patients)}
        columns = {name: index for index, name in enumerate(visits)}
        marked = len(patients) <= _LABELLED_ROWS
        for patient, visit, state in table[["patient_id", "visit", "state"]].itertuples(index=False, name=None):
            _cell(axes, columns[visit], places[patient], state, marked=marked)
        _frame(axes, visits, patients)
        handles = [Rectangle((0, 0), 1, 1, facecolor=fill, edgecolor=style.MUTED) for fill, _, _ in _LOOK.values()]
        names = [f"{words} ({mark})" if mark else words for _, mark, words in _LOOK.values()]
        figure.legend(handles, names, loc="outside lower center", ncols=4, handlelength=1.2)
        return to_svg(figure)


def _cell(axes: Axes, column: int, row: int, state: str, *, marked: bool) -> None:
    fill, mark, _ = _LOOK.get(state, _LOOK[FAILED])
    axes.add_patch(
        Rectangle((column - 0.46, row - 0.42), 0.92, 0.84, facecolor=fill, edgecolor=style.MUTED, linewidth=0.3)
    )
    if mark and marked:
        axes.text(column, row, mark, ha="center", va="center_baseline", fontsize=6.5, color=style.INK)


def _frame(axes: Axes, visits: Sequence[str], patients: Sequence[str]) -> None:
    axes.set_xlim(-0.6, len(visits) - 0.4)
    axes.set_ylim(len(patients) - 0.4, -0.6)
    crowded = len(visits) > 12
    axes.set_xticks(range(len(visits)), [label(name) for name in visits], rotation=90 if crowded else 0)
    step = max(1, -(-len(patients) // _LABELLED_ROWS))
    axes.set_yticks(range(0, len(patients), step), [label(name) for name in patients[::step]], fontsize=6.5)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.xaxis.tick_top()
