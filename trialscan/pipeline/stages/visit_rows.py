"""What is said of one visit: its quality.json and its row of tables/scans.csv."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialscan.audit import digest_file
from trialscan.audit.json_file import read_json
from trialscan.lesions import Findings
from trialscan.pipeline.setting import VisitInput
from trialscan.registration import Alignment


@dataclass(frozen=True)
class Visited:
    """One visit after measuring.

    `failure` says why there are no findings, `misaligned` why there is no alignment; `flags` are the patient's own
    (a single visit, no baseline), told at every visit. `scanner` is its name and kernel, empty where unknown.
    """

    entry: VisitInput
    findings: Findings | None
    alignment: Alignment | None
    failure: str
    misaligned: str
    flags: tuple[str, ...]
    scanner: str = ""


def quality(run: Path, visited: Visited, doubts: Sequence[str] = ()) -> dict[str, Any]:
    """The content of quality.json: how far to trust this visit; `doubts` are flags of its comparison with others."""
    if visited.findings is None:
        flags = ["failed", *visited.flags]
        return {
            "status": "failed",
            "message": visited.failure,
            "segmentation": None,
            "registration": None,
            "flags": flags,
        }
    folder = run / visited.entry.folder
    segmentation = read_json(folder / "segmentation.json")
    registration: dict[str, Any] | None = None
    if visited.alignment is not None:
        registration = read_json(folder / "to_baseline.json")
    elif visited.misaligned:
        registration = {"status": "fail", "rung": "none", "message": visited.misaligned}
    return {
        "status": "ok",
        "message": visited.misaligned,
        "segmentation": segmentation,
        "registration": registration,
        "flags": [*segmentation["flags"], *_flags(visited, registration), *doubts, *visited.flags],
    }


def _flags(visited: Visited, registration: Mapping[str, Any] | None) -> list[str]:
    flags = []
    if visited.findings is not None and not visited.findings.labels.spacing_known:
        flags.append("spacing_unknown")
    if registration is not None and registration["status"] != "pass":
        flags.append(f"alignment_{registration['status']}")
    if visited.entry.visit.in_window is False:
        flags.append("outside_visit_window")
    return flags


def scan_row(run: Path, visited: Visited, quality: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
    """The visit's row of scans.csv."""
    entry, segmentation, registration = visited.entry, quality["segmentation"] or {}, quality["registration"] or {}
    model = segmentation.get("model") or {}
    return {
        "patient_id": entry.visit.patient_id,
        "visit": entry.visit.visit,
        "study_day": entry.visit.study_day,
        "is_baseline": entry.is_baseline,
        "in_window": entry.visit.in_window,
        **_burden(visited.findings, class_names),
        "organ_source": segmentation.get("organ_source"),
        "lesion_source": segmentation.get("lesion_source"),
        "alignment_status": registration.get("status"),
        "alignment_rung": registration.get("rung"),
        "status": quality["status"],
        "flags": ";".join(quality["flags"]),
        "message": quality["message"],
        "image_sha256": entry.image_sha256,
        "organ_sha256": _digest(run / entry.folder / "organ.nii.gz", visited),
        "lesion_sha256": _digest(run / entry.folder / "lesions.nii.gz", visited),
        "model": model.get("name"),
        "model_sha256": model.get("sha256"),
    }


def missing_row(patient_id: str, visit: str) -> dict[str, Any]:
    """The row of a scheduled visit without a scan."""
    return {"patient_id": patient_id, "visit": visit, "is_baseline": False, "status": "missing", "flags": "missing"}


def _burden(findings: Findings | None, class_names: Sequence[str]) -> dict[str, Any]:
    if findings is None:
        return {}
    burden = findings.burden
    row: dict[str, Any] = {
        "burden_ml": burden.burden_ml,
        "organ_ml": burden.organ_ml,
        "burden_percent": burden.burden_percent,
        "lesion_count": burden.lesion_count,
    }
    for name in class_names:
        row |= {f"{name}_ml": burden.class_ml.get(name), f"{name}_percent": burden.class_percent.get(name)}
    return row


def _digest(path: Path, visited: Visited) -> str | None:
    return digest_file(path) if visited.findings is not None and path.exists() else None
