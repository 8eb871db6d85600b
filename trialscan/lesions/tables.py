"""Lesions as plain values: `measures.json` of a scan, the rows of a patient for `tables/lesions.csv` and for
`tables/trajectories.csv`, and the limits of a scan's burden for `tables/scans.csv`.
"""

from dataclasses import asdict, fields
from typing import Any

from trialscan.lesions.error import Measured, interval, scan_difference, total_sd
from trialscan.lesions.findings import Findings
from trialscan.lesions.history import History, LesionRow, TrajectoryRow, VisitFindings
from trialscan.lesions.placement import scan_facts
from trialscan.study.sections import LesionSettings

NATIVE_MEASURES = ("perpendicular_diameter_mm", "mass_g", "surface_distance_mm", "side", "mean_probability")


def measures(findings: Findings, scanner: str = "") -> dict[str, Any]:
    """Burden, every lesion and what decides the error of a scan, JSON-able, keys in fixed order; units in the names."""
    return {
        "burden": asdict(findings.burden),
        "lesions": [asdict(lesion) for lesion in findings.lesions],
        "scan": asdict(scan_facts(findings, scanner)),
    }


def lesion_rows(patient_id: str, history: History) -> list[dict[str, Any]]:
    """The rows of `tables/lesions.csv` by visit and lesion, keys in the order of its columns; None is an empty cell."""
    return [_cells(patient_id, row) for row in history.rows]


def _cells(patient_id: str, row: LesionRow) -> dict[str, Any]:
    x, y, z = row.centroid_mm or (None, None, None)
    return {
        "patient_id": patient_id,
        "visit": row.visit,
        "study_day": row.study_day,
        "lesion_id": row.lesion_id,
        "family": row.family or None,
        "class_name": row.class_name,
        "volume_ml": row.volume_ml,
        "organ_percent": row.organ_percent,
        "longest_diameter_mm": row.longest_diameter_mm,
        "mean_intensity": row.mean_intensity,
        "centroid_x_mm": x,
        "centroid_y_mm": y,
        "centroid_z_mm": z,
        "change": None if row.change is None else str(row.change),
        "change_percent": row.change_percent,
        "predecessors": ";".join(row.predecessors) or None,
        "note": row.note or None,
        "change_probability": row.change_probability,
        "sd_log": row.sd_log,
        **{name: getattr(row.lesion, name, None) for name in NATIVE_MEASURES},
    }


def trajectory_rows(patient_id: str, history: History) -> list[dict[str, Any]]:
    """The rows of `tables/trajectories.csv`: the burden by visit, then families and lesions; class volumes last."""
    return [_course_cells(patient_id, row) for row in (*history.trajectory, *history.courses)]


def _course_cells(patient_id: str, row: TrajectoryRow) -> dict[str, Any]:
    cells = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "class_ml"}
    return {"patient_id": patient_id, **cells, **{f"{name}_ml": value for name, value in row.class_ml.items()}}


def burden_limits(
    visit: VisitFindings, settings: LesionSettings, start: VisitFindings | None = None
) -> dict[str, float]:
    """The 95 % limits of a scan's burden, from the errors of its lesions, by column of `tables/scans.csv`.

    They hold the error across scanners where the scan is unlike that of `start`, the visit that changes count from. A
    percentage has the relative error of the lesions; that of the organ is not in it. Empty without lesions.
    """
    if visit.findings is None or not visit.findings.lesions:
        return {}
    facts, burden = scan_facts(visit.findings, visit.scanner), visit.findings.burden
    lesions = [Measured(lesion, facts) for lesion in visit.findings.lesions]
    unlike = bool(start and start.findings and scan_difference([scan_facts(start.findings, start.scanner)], [facts]))
    limits: dict[str, float] = {}
    for unit, measure, total in (
        ("ml", "volume_ml", burden.burden_ml),
        ("percent", "organ_percent", burden.burden_percent),
    ):
        if total is not None:
            lower, upper = interval(total, total_sd(lesions, measure, settings, across=unlike))  # type: ignore[arg-type]
            limits |= {f"burden_lower_{unit}": lower, f"burden_upper_{unit}": upper}
    return limits
