"""Lesions as plain values: `measures.json` of a scan, and the rows of a patient for `tables/lesions.csv`."""

from dataclasses import asdict
from typing import Any

from trialscan.lesions.findings import Findings
from trialscan.lesions.history import History, LesionRow


def measures(findings: Findings) -> dict[str, Any]:
    """The burden and every lesion of a scan, JSON-able, keys in fixed order; units are in the names."""
    return {"burden": asdict(findings.burden), "lesions": [asdict(lesion) for lesion in findings.lesions]}


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
    }
