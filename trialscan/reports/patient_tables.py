"""The tables of a patient report: visits, lesions over visits, quality and alignment."""

from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.platypus import Flowable, Table

from trialscan.reports import blocks, style
from trialscan.reports.flags import flag_words
from trialscan.reports.fonts import markup
from trialscan.reports.run_folder import LesionCell, RunFolder, VisitRow
from trialscan.reports.words import NONE, count, number, plain, sentence, shortened, signed_percent

_VISITS_A_TABLE = 6
_SEGMENTATION = {
    "model_organ_dice": ("organ Dice, model against reader", 3),
    "model_organ_volume_ratio": ("organ volume, model ÷ reader", 3),
    "outlier_ratio": ("unlikeness to training scans (1: beyond 19 of 20)", 2),
    "mirror_dice_lesions": ("lesion Dice, seen plainly against in a mirror", 3),
    "lesion_low_ml": ("lesion volume of probability 0.9, ml", 1),
    "lesion_high_ml": ("lesion volume of probability 0.1, ml", 1),
    "lesion_probability": ("model probability in lesions", 2),
    "lesion_outside_organ_percent": ("lesion outside the organ, %", 1),
    "slice_thickness_mm": ("slice thickness, mm", 2),
}
_ALIGNMENT = {
    "organ_dice_before": ("organ Dice before", 3),
    "organ_dice_after": ("organ Dice after", 3),
    "estimated_error_mm_p50": ("estimated error, median mm", 1),
    "estimated_error_mm_p95": ("estimated error, 95th percentile mm", 1),
    "jacobian_min": ("least Jacobian", 2),
    "jacobian_max": ("greatest Jacobian", 2),
    "folding_percent": ("folding, %", 2),
}
_NAME_SHARE, _CLASS_SHARE, _VISIT_SHARE = 0.1, 0.15, 0.125


def visit_table(folder: RunFolder, visits: Sequence[VisitRow]) -> Table:
    """A row a visit: day, status, burden, burden by class, number of lesions, and who outlined organ and lesions."""
    unit = "ml" if any(row.number("burden_ml") is not None for row in visits) else "percent"
    shown_unit = "ml" if unit == "ml" else "%"
    classes = folder.classes if len(folder.classes) > 1 else ()
    organ = plain(folder.protocol.segmentation.organ_name)
    burden = ["burden_ml", "burden_percent"] if unit == "ml" else ["burden_percent"]
    heads = {"burden_ml": "All lesions, ml", "burden_percent": f"All lesions, % of {organ}"}
    head = ["Visit", "Day", "Status", *[heads[name] for name in burden]]
    head += [f"{plain(name).capitalize()}, {shown_unit}" for name in classes]
    head += ["Lesions", f"{organ.capitalize()} outlined by", "Lesions outlined by"]
    columns = [*burden, *[f"{name}_{unit}" for name in classes]]
    rows = []
    for row in visits:
        cells = [row.visit + (" (baseline)" if row.is_baseline else ""), count(row.study_day), row.status]
        cells += [number(row.number(name), 1 if name.endswith("_ml") else 2) for name in columns]
        sources = [row.text("organ_source") or NONE, row.text("lesion_source") or NONE]
        rows.append([*cells, count(row.number("lesion_count")), *sources])
    widths = [1.45, 0.55, 0.8, *[1.15] * len(burden), *[1.6] * len(classes), 0.95, 1.15, 1.15]
    numeric = [1, *range(3, 4 + len(columns))]
    return blocks.grid(head, rows, widths, right=numeric)


def lesion_section(folder: RunFolder, patient_id: str, visits: Sequence[VisitRow]) -> list[Flowable]:
    """A row a lesion, a column a visit: size with the call of its change; past six visits a further table goes on."""
    heading = blocks.heading("Lesions")
    cells = folder.lesions_of(patient_id)
    if not cells:
        return [*heading, blocks.text("No lesion was found at any visit.")]
    by_place = {(cell.lesion_id, cell.visit): cell for cell in cells}
    unit = "volume_ml" if any(cell.volume_ml is not None for cell in cells) else "organ_percent"
    names = sorted({cell.lesion_id for cell in cells}, key=lambda name: (len(name), name))
    story: list[Flowable] = [*heading]
    for start in range(0, len(visits), _VISITS_A_TABLE):
        part = visits[start : start + _VISITS_A_TABLE]
        rows = [
            [f"{name}", _class_of(name, cells), *[_lesion_cell(by_place.get((name, row.visit)), unit) for row in part]]
            for name in names
        ]
        head = ["Lesion", "Class", *[row.visit for row in part]]
        shares = [_NAME_SHARE, _CLASS_SHARE, *[_VISIT_SHARE] * len(part)]
        story.append(
            blocks.grid(head, rows, shares, right=range(2, 2 + len(part)), total=style.CONTENT_WIDTH * sum(shares))
        )
    organ = plain(folder.protocol.segmentation.organ_name)
    measure = "volume in ml" if unit == "volume_ml" else f"size in % of the {organ}"
    story.append(
        blocks.text(
            f"Cells: {measure}, then the change since the lesion was last assessed; a change within measurement "
            "error is called stable, or indeterminate where that error is large. A lesion keeps its name over all "
            "visits; ← names the lesions that it continues.",
            "caption",
        )
    )
    return story


def quality_table(folder: RunFolder, visits: Sequence[VisitRow]) -> Table:
    """A row a visit: how far the segmentation and the alignment can be trusted, and what was flagged."""
    rows = []
    for row in visits:
        quality = folder.quality_of(row)
        segmentation, registration = quality.get("segmentation") or {}, quality.get("registration") or {}
        alignment = "baseline" if row.is_baseline else row.text("alignment_status") or NONE
        rung = row.text("alignment_rung")
        rows.append(
            [
                row.visit,
                _checks(segmentation.get("quality"), _SEGMENTATION),
                alignment + (f", {plain(rung)}" if rung else ""),
                _checks(registration.get("quality"), _ALIGNMENT),
                blocks.rich("<br/>".join(markup(words) for words in _notes(row, registration)) or NONE, "cell"),
            ]
        )
    return blocks.grid(
        ["Visit", "Segmentation checks", "Alignment", "Alignment checks", "Flags"], rows, [0.8, 2.0, 1.1, 2.0, 2.0]
    )


def _notes(row: VisitRow, registration: Mapping[str, Any]) -> list[str]:
    """Every flag of a visit in words, why its alignment did not pass, and the message that explains a failure."""
    message = row.text("message")
    reasons = [sentence(str(note)) for note in registration.get("notes", [])]
    return (
        [flag_words(code) for code in row.flags]
        + reasons
        + ([shortened(message, where="tables/scans.csv")] if message else [])
    )


def _class_of(lesion_id: str, cells: Sequence[LesionCell]) -> str:
    return plain(", ".join(dict.fromkeys(cell.class_name for cell in cells if cell.lesion_id == lesion_id)))


def _lesion_cell(cell: LesionCell | None, unit: str) -> Flowable:
    if cell is None:
        return blocks.text(NONE, "cell_right")
    size = cell.volume_ml if unit == "volume_ml" else cell.organ_percent
    words = markup(number(size, 1 if unit == "volume_ml" else 2))
    call = plain(cell.change)
    if cell.change_percent is not None and cell.change != "resolved":
        call += f" {signed_percent(cell.change_percent)}"
    if call:
        words += f"<br/>{markup(call)}"
    former = [name for name in cell.predecessors if name != cell.lesion_id]
    if former:
        words += f"<br/>← {markup(', '.join(former))}"
    if cell.note:
        words += f"<br/><i>{markup(shortened(cell.note, 120))}</i>"
    return blocks.rich(words, "cell_right")


def _checks(quality: Mapping[str, Any] | None, shown: Mapping[str, tuple[str, int]]) -> Flowable:
    """The numbers of a quality record that a reader judges by, in words; the rest stays in quality.json."""
    lines = []
    for name, (words, digits) in shown.items():
        value = (quality or {}).get(name)
        if isinstance(value, int | float):
            lines.append(f"{words} {number(float(value), digits)}")
    return blocks.rich("<br/>".join(lines) or NONE, "cell")
