"""Families: lesions that merges and splits join, whose total size is conserved, and their change from the baseline."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trialscan.lesions.error import MEASURES
from trialscan.lesions.history import Change, LesionRow, VisitFindings
from trialscan.lesions.identity import families


def with_families(rows: Sequence[LesionRow], visits: Sequence[VisitFindings]) -> tuple[LesionRow, ...]:
    """Add to each row of a linked lesion its family and the family's change from the baseline."""
    linked = [row for row in rows if row.lesion_id != f"{row.visit}-{row.label}"]
    ids = sorted({row.lesion_id for row in linked}, key=lambda lesion_id: int(lesion_id[1:]))
    family = families(ids, ((row.lesion_id, parent) for row in linked for parent in row.predecessors))
    baseline = next((visit.visit for visit in visits if visit.is_baseline), None)
    members: dict[str, list[LesionRow]] = defaultdict(list)
    for row in linked:
        members[family[row.lesion_id]].append(row)
    change = {name: _changes(kin, baseline) for name, kin in members.items()}
    return tuple(_joined(row, family.get(row.lesion_id, ""), change) for row in rows)


def _joined(row: LesionRow, family: str, change: Mapping[str, Mapping[str, float]]) -> LesionRow:
    if not family:
        return row
    return replace(row, family=family, family_change_percent=change[family].get(row.visit))


def _changes(kin: Sequence[LesionRow], baseline: str | None) -> dict[str, float]:
    """Change of a family's total from the baseline in percent, by visit, where both totals are known."""
    totals = _totals(kin)
    start = totals.get(baseline) if baseline is not None else None
    return {visit: 100.0 * (total / start - 1.0) for visit, total in totals.items()} if start else {}


def _totals(kin: Sequence[LesionRow]) -> dict[str, float]:
    """A family's total by visit, in the first measure known of all its lesions; none where a member was missed."""
    seen = [row for row in kin if row.label is not None]
    measure = next((name for name in MEASURES if all(getattr(row, name) is not None for row in seen)), None)
    if measure is None:
        return {}
    unknown = {row.visit for row in kin if row.label is None and row.change is Change.NOT_ASSESSED}
    totals: dict[str, float] = defaultdict(float)
    for row in kin:
        if row.visit not in unknown:
            totals[row.visit] += getattr(row, measure)
    return totals
