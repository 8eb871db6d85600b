"""One patient's lesions over all visits: `measures.json` and `quality.json` a visit, `history.json` a patient.

`history.json` holds the patient's rows of tables/scans.csv and tables/lesions.csv, which the tables only join, and the
trajectory of the whole burden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trialscan.audit import digest_file
from trialscan.imaging import Units, read_volume
from trialscan.lesions import Findings, VisitFindings, find_lesions, lesion_rows, measures, track_patient
from trialscan.pipeline.setting import Setting, VisitInput
from trialscan.pipeline.stages.json_file import read_json, write_json
from trialscan.pipeline.stages.segment import read_segmentation
from trialscan.pipeline.tasks import Task
from trialscan.registration import Alignment, read_alignment
from trialscan.study import LesionSettings, Patient

VERSION = 1


@dataclass(frozen=True)
class TrackArguments:
    """A patient's visits by day, scheduled visits without a scan (name, planned day), and what decides a lesion."""

    patient_id: str
    visits: tuple[VisitInput, ...]
    missing: tuple[tuple[str, int], ...]
    class_names: tuple[str, ...]
    units: str
    settings: LesionSettings


def track_task(setting: Setting, patient: Patient, needs: tuple[str, ...]) -> Task:
    """The task of one patient; `needs` are the tasks that segment and align this patient's scans."""
    entries, settings = setting.entries(patient), setting.protocol.lesions
    units = setting.protocol.segmentation.units
    missing = _missing(setting, patient)
    visits = [
        [entry.visit.visit, entry.visit.study_day, entry.visit.in_window, entry.is_baseline, entry.unreadable]
        for entry in entries
    ]
    return Task(
        kind="track",
        subject=patient.patient_id,
        version=VERSION,
        work=track,
        arguments=TrackArguments(patient.patient_id, entries, missing, setting.class_names, units, settings),
        parameters=settings.model_dump(mode="json")
        | {"units": units, "classes": setting.class_names, "visits": visits, "missing": missing},
        inputs={f"image {entry.visit.visit}": entry.image_sha256 or "" for entry in entries},
        needs=needs,
        tolerant=True,
    )


def _missing(setting: Setting, patient: Patient) -> tuple[tuple[str, int], ...]:
    """Scheduled visits that this patient lacks, each with its planned day."""
    present = {visit.visit for visit in patient.visits}
    start = patient.baseline.study_day if patient.baseline else 0
    schedule = setting.protocol.visits.schedule
    return tuple((planned.visit, start + planned.day) for planned in schedule if planned.visit not in present)


def track(run: Path, arguments: TrackArguments, failures: Mapping[str, str]) -> Sequence[str]:
    """Measure every visit, link lesions over visits, write all rows of this patient."""
    written: list[str] = []
    findings: list[VisitFindings] = []
    scans: list[dict[str, Any]] = []
    for entry in arguments.visits:
        failure = entry.unreadable or _failure(entry, failures, "segment")
        misaligned = _failure(entry, failures, "align")
        alignment = None if failure or misaligned or entry.is_baseline else _alignment(run, entry)
        found = None if failure else _measure(run, entry, arguments)
        findings.append(_for_tracking(entry, found, alignment, failure))
        quality = _quality(run, entry, alignment, failure, misaligned)
        write_json(run / entry.folder / "quality.json", quality)
        written.append(f"{entry.folder}/quality.json")
        if found is not None:
            write_json(run / entry.folder / "measures.json", measures(found))
            written.append(f"{entry.folder}/measures.json")
        scans.append(_scan_row(run, entry, found, quality, arguments.class_names))
    findings += [VisitFindings(visit, day, findings=None, status="missing") for visit, day in arguments.missing]
    scans += [_missing_row(arguments.patient_id, visit) for visit, _ in arguments.missing]
    history = track_patient(findings, arguments.settings)
    target = f"patients/{arguments.patient_id}/history.json"
    body = {
        "scans": scans,
        "lesions": lesion_rows(arguments.patient_id, history),
        "trajectory": [asdict(row) for row in history.trajectory],
    }
    write_json(run / target, body)
    return [*written, target]


def _failure(entry: VisitInput, failures: Mapping[str, str], kind: str) -> str:
    return failures.get(f"{kind} {entry.subject}", "")


def _alignment(run: Path, entry: VisitInput) -> Alignment | None:
    folder = run / entry.folder
    return read_alignment(folder) if (folder / "to_baseline.json").exists() else None


def _measure(run: Path, entry: VisitInput, arguments: TrackArguments) -> Findings:
    image = read_volume(entry.visit.scan.path, Units(arguments.units))
    return find_lesions(read_segmentation(run, entry.folder), image, arguments.settings)


def _for_tracking(
    entry: VisitInput, found: Findings | None, alignment: Alignment | None, failure: str
) -> VisitFindings:
    return VisitFindings(
        visit=entry.visit.visit,
        study_day=entry.visit.study_day,
        findings=found,
        alignment=alignment,
        is_baseline=entry.is_baseline,
        status="failed" if failure else "ok",
    )


def _quality(
    run: Path, entry: VisitInput, alignment: Alignment | None, failure: str, align_failure: str
) -> dict[str, Any]:
    """The content of quality.json: how far to trust this visit."""
    if failure:
        return {"status": "failed", "message": failure, "segmentation": None, "registration": None, "flags": ["failed"]}
    segmentation = read_json(run / entry.folder / "segmentation.json")
    flags = list(segmentation["flags"])
    registration: dict[str, Any] | None = None
    if alignment is not None:
        registration = read_json(run / entry.folder / "to_baseline.json")
        if alignment.status != "pass":
            flags.append(f"alignment_{alignment.status}")
    elif align_failure:
        registration = {"status": "fail", "rung": "none", "message": align_failure}
        flags.append("alignment_fail")
    if entry.visit.in_window is False:
        flags.append("outside_visit_window")
    return {
        "status": "ok",
        "message": align_failure,
        "segmentation": segmentation,
        "registration": registration,
        "flags": flags,
    }


def _scan_row(
    run: Path, entry: VisitInput, found: Findings | None, quality: Mapping[str, Any], class_names: Sequence[str]
) -> dict[str, Any]:
    segmentation, registration = quality["segmentation"] or {}, quality["registration"] or {}
    burden = found.burden if found else None
    row: dict[str, Any] = {
        "patient_id": entry.visit.patient_id,
        "visit": entry.visit.visit,
        "study_day": entry.visit.study_day,
        "is_baseline": entry.is_baseline,
        "in_window": entry.visit.in_window,
        "burden_ml": burden.burden_ml if burden else None,
        "organ_ml": burden.organ_ml if burden else None,
        "burden_percent": burden.burden_percent if burden else None,
    }
    for name in class_names:
        row[f"{name}_ml"] = burden.class_ml.get(name) if burden else None
        row[f"{name}_percent"] = burden.class_percent.get(name) if burden else None
    model = segmentation.get("model") or {}
    return row | {
        "lesion_count": burden.lesion_count if burden else None,
        "organ_source": segmentation.get("organ_source"),
        "lesion_source": segmentation.get("lesion_source"),
        "alignment_status": registration.get("status"),
        "alignment_rung": registration.get("rung"),
        "status": quality["status"],
        "flags": ";".join(quality["flags"]),
        "message": quality["message"],
        "image_sha256": entry.image_sha256,
        "organ_sha256": _digest(run / entry.folder / "organ.nii.gz") if found else None,
        "lesion_sha256": _digest(run / entry.folder / "lesions.nii.gz") if found else None,
        "model": model.get("name"),
        "model_sha256": model.get("sha256"),
    }


def _missing_row(patient_id: str, visit: str) -> dict[str, Any]:
    return {"patient_id": patient_id, "visit": visit, "is_baseline": False, "status": "missing", "flags": "missing"}


def _digest(path: Path) -> str | None:
    return digest_file(path) if path.exists() else None
