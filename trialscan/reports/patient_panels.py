"""The pictures of a patient: the same slice at every visit, side by side, with what the viewer must know."""

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Table, TableStyle

from trialscan.reports import blocks, style
from trialscan.reports.fonts import markup
from trialscan.reports.panel_files import Panel, read_panel
from trialscan.reports.panel_picture import PanelPicture
from trialscan.reports.run_folder import OK, RunFolder, VisitRow
from trialscan.reports.words import day, number, plain

_SIDES_MM = {1: 82.0, 2: 70.0, 3: 57.0}
_PER_ROW, _SIDE_MM, _GAP_MM = 4, 42.5, 1.8
_LINES = ("solid", "dashed", "dotted", "long-dashed", "dash-dotted")
_REASONS = {
    "lesion area": "with the largest lesion area at baseline",
    "organ centre": "through the organ's centre at baseline",
    "image centre": "through the middle of the baseline scan",
}


def panel_section(folder: RunFolder, visits: Sequence[VisitRow]) -> list[Flowable]:
    """Heading, pictures of every visit in order, legend; a visit without a picture shows why."""
    panels = [read_panel(folder.visit_folder(row)) for row in visits]
    known = [panel for panel in panels if panel is not None]
    if not known:
        return [*blocks.heading("Pictures"), blocks.text("No visit has a picture.")]
    side = _SIDES_MM.get(len(visits), _SIDE_MM) * mm
    columns = min(len(visits), _PER_ROW)
    cells = [
        [PanelPicture(panel, side, _absence(row)), blocks.rich(_caption(folder, row, panel), "caption")]
        for row, panel in zip(visits, panels, strict=True)
    ]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    rows[-1] += [[] for _ in range(columns - len(rows[-1]))]
    table = Table(rows, [side + _GAP_MM * mm] * columns, hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 0),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ]
        )
    )
    room = side + 22 * mm
    return [*blocks.heading("Pictures", room), table, blocks.rich(_legend(folder, known), "caption")]


def _absence(row: VisitRow) -> tuple[str, ...]:
    return ("no picture",) if row.status == OK else ("no picture:", f"visit {row.status}")


def _caption(folder: RunFolder, row: VisitRow, panel: Panel | None) -> str:
    planned = "planned " if row.study_day is None and folder.day_of(row) is not None else ""
    words = f"<b>{markup(row.visit)}</b> · {planned}{day(folder.day_of(row))}"
    if row.is_baseline:
        words += " · baseline"
    if panel is None:
        return words
    if panel.facts["slice"] == "own" and panel.facts["chosen_by"] != "whole image" and not row.is_baseline:
        words += "<br/>own slice: not aligned to baseline"
    return f"{words}<br/>{markup(_outlined_by(row))}"


def _outlined_by(row: VisitRow) -> str:
    organ, lesions = row.text("organ_source"), row.text("lesion_source")
    if organ == lesions or organ in {"", "none"}:
        return f"outlined by the {lesions}"
    return f"organ by the {organ}, lesions by the {lesions}"


def _legend(folder: RunFolder, panels: Sequence[Panel]) -> str:
    first = panels[0].facts
    outlines = ", ".join(
        f'<font color="{style.cycle(style.CLASS_ON_PICTURE, number)}">■</font> '
        f"{markup(plain(name))} ({_LINES[number % len(_LINES)]})"
        for number, name in enumerate(folder.classes)
    )
    organ = markup(plain(folder.protocol.segmentation.organ_name))
    outlines += f', <font color="{style.ORGAN}">■</font> {organ} (thin)'
    where = next((_REASONS[p.facts["chosen_by"]] for p in panels if p.facts["slice"] == "baseline"), None)
    if where is not None:
        told = f"The same axial slice at every visit: the one {where}. "
        if any(panel.facts["resampled"] for panel in panels):
            told += "Follow-ups are resampled onto it for display only; nothing is measured on these pictures. "
    else:
        told = "Each visit on its own grid. "
    center, width = first["window"]
    told += (
        f"Outlines: {outlines}. Window center {number(center, 0)}, width {number(width, 0)} {markup(first['units'])}"
    )
    if len({tuple(panel.facts["window"]) for panel in panels}) > 1:
        told += " (first picture; each visit has its own)"
    if all(panel.facts["spacing_mm"] is None for panel in panels):
        return told + ". Pixel spacing unknown: no scale bar; orientation is the file's."
    return told + ". R, L, A, P, S, I: the patient's right, left, front, back, head and feet."
