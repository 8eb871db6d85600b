"""The course of one patient in two sentences, made of table cells."""

from collections.abc import Sequence

from trialscan.reports.run_folder import LesionCell, RunFolder, VisitRow
from trialscan.reports.words import day, number, plain, signed_percent

_LISTED = 6


def summary(folder: RunFolder, patient_id: str, visits: Sequence[VisitRow]) -> list[str]:
    """Burden at baseline and now, and which lesions came and went."""
    return [_burden_words(folder, patient_id, visits), _lesion_words(folder.lesions_of(patient_id))]


def _burden_words(folder: RunFolder, patient_id: str, visits: Sequence[VisitRow]) -> str:
    in_ml = any(row.number("burden_ml") is not None for row in visits)
    column = "burden_ml" if in_ml else "burden_percent"
    organ = plain(folder.protocol.segmentation.organ_name)
    measured = [row for row in visits if row.number(column) is not None]
    if not measured:
        return "No visit gave a measurement."

    def amount(row: VisitRow) -> str:
        unit = "ml" if in_ml else f"% of the {organ}"
        share = row.number("burden_percent") if in_ml else None
        extra = "" if share is None else f" ({number(share)} % of the {organ})"
        return f"{number(row.number(column))} {unit}{extra}"

    def when(row: VisitRow) -> str:
        return f"{row.visit}, {day(row.study_day)}"

    baseline = next((row for row in measured if row.is_baseline), None)
    last = measured[-1]
    if baseline is None:
        return f"The baseline gave no measurement. The last measured burden is {amount(last)} at {when(last)}."
    if last is baseline:
        return f"Lesion burden at baseline ({when(last)}) is {amount(last)}. There is no later measurement."
    change = folder.change_percent(patient_id, last.visit)
    told = "" if change is None else f": {signed_percent(change)} from baseline"
    before = f"Lesion burden was {amount(baseline)} at baseline ({when(baseline)})"
    return f"{before}, and is {amount(last)} at {when(last)}{told}."


def _lesion_words(lesions: Sequence[LesionCell]) -> str:
    if not lesions:
        return "No lesion was found at any visit."
    last = lesions[-1].visit
    parts = [
        _named("New", [f"{cell.lesion_id} ({cell.visit})" for cell in lesions if cell.change == "new"]),
        _named("Resolved", [f"{cell.lesion_id} ({cell.visit})" for cell in lesions if cell.change == "resolved"]),
        _named(f"Growing at {last}", [c.lesion_id for c in lesions if c.change == "growing" and c.visit == last]),
        _named(f"Shrinking at {last}", [c.lesion_id for c in lesions if c.change == "shrinking" and c.visit == last]),
    ]
    return " ".join(part for part in parts if part) or "No lesion was called new, resolved, growing or shrinking."


def _named(words: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = ", … (see the lesion table)" if len(names) > _LISTED else ""
    return f"{words}: {', '.join(names[:_LISTED])}{more}."
