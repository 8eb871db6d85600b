"""One patient's lesions over all visits: `measures.json` and `quality.json` a visit, `history.json` a patient.

`history.json` holds the patient's rows of tables/scans.csv, tables/lesions.csv and tables/trajectories.csv, which the
tables only join.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialscan.audit.json_file import write_json
from trialscan.errors import ScanError
from trialscan.imaging import Units, Volume, read_volume
from trialscan.lesions import (
    VisitFindings,
    burden_limits,
    comparison_flags,
    find_lesions,
    lesion_rows,
    measures,
    track_patient,
    trajectory_rows,
)
from trialscan.pipeline.jumps import JUMP_LIMITS, jump_flags
from trialscan.pipeline.setting import Setting, VisitInput
from trialscan.pipeline.stages.segment import read_segmentation
from trialscan.pipeline.stages.visit_rows import Visited, missing_row, quality, scan_row
from trialscan.pipeline.tasks import Task
from trialscan.registration import Alignment, read_alignment
from trialscan.study import LesionSettings, Patient
from trialscan.study.columns import SCANNER
from trialscan.study.sections import SegmentationLimits

VERSION = 4
HEADER_SCANNER = ("manufacturer", "model", "convolution_kernel")


@dataclass(frozen=True)
class TrackArguments:
    """A patient's visits by day, scheduled visits without a scan (name, planned day), and what decides a lesion."""

    patient_id: str
    visits: tuple[VisitInput, ...]
    missing: tuple[tuple[str, int], ...]
    class_names: tuple[str, ...]
    units: str
    settings: LesionSettings
    limits: SegmentationLimits


def track_task(setting: Setting, patient: Patient, needs: tuple[str, ...]) -> Task:
    """The task of one patient; `needs` are the tasks that segment and align this patient's scans."""
    entries, settings = setting.entries(patient), setting.protocol.lesions
    units, limits = setting.protocol.segmentation.units, setting.protocol.segmentation.limits
    missing = _missing(setting, patient)
    visits = [
        [
            *(entry.visit.visit, entry.visit.study_day, entry.visit.in_window, entry.is_baseline, entry.unreadable),
            entry.visit.covariates.get(SCANNER, ""),
        ]
        for entry in entries
    ]
    return Task(
        kind="track",
        subject=patient.patient_id,
        version=VERSION,
        work=track,
        arguments=TrackArguments(patient.patient_id, entries, missing, setting.class_names, units, settings, limits),
        parameters=settings.model_dump(mode="json")
        | {"units": units, "classes": setting.class_names, "visits": visits, "missing": missing}
        | {"limits": limits.model_dump(mode="json", include=JUMP_LIMITS)},
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
    flags = _patient_flags(arguments)
    visits = [_visit(run, entry, arguments, failures, flags) for entry in arguments.visits]
    findings = [_for_tracking(visited) for visited in visits]
    history = track_patient([*findings, *_absent(arguments)], arguments.settings)
    doubts = comparison_flags(findings, history, arguments.settings)
    jumps = jump_flags(findings, arguments.limits)
    start = next((found for found in findings if found.is_baseline), None)
    written: list[str] = []
    scans: list[dict[str, Any]] = []
    for visited, found in zip(visits, findings, strict=True):
        trust = quality(run, visited, (*jumps.get(found.visit, ()), *doubts.get(found.visit, ())))
        written += _write_visit(run, visited, trust)
        limits = burden_limits(found, arguments.settings, start)
        scans.append(scan_row(run, visited, trust, arguments.class_names) | limits)
    scans += [missing_row(arguments.patient_id, visit) for visit, _ in arguments.missing]
    body = {
        "scans": scans,
        "lesions": lesion_rows(arguments.patient_id, history),
        "trajectory": trajectory_rows(arguments.patient_id, history),
    }
    target = f"patients/{arguments.patient_id}/history.json"
    write_json(run / target, body)
    return [*written, target]


def _patient_flags(arguments: TrackArguments) -> tuple[str, ...]:
    """What is true of the patient as a whole and must be known at every visit."""
    flags = []
    if len(arguments.visits) == 1:
        flags.append("single_visit")
    if not any(entry.is_baseline for entry in arguments.visits):
        flags.append("no_baseline")
    return tuple(flags)


def _visit(
    run: Path, entry: VisitInput, arguments: TrackArguments, failures: Mapping[str, str], flags: tuple[str, ...]
) -> Visited:
    failure = entry.unreadable or failures.get(f"segment {entry.subject}", "")
    misaligned = failures.get(f"align {entry.subject}", "")
    if failure:
        return Visited(entry, None, None, failure, misaligned, flags)
    try:
        image = read_volume(entry.visit.scan.path, Units(arguments.units))
        findings = find_lesions(read_segmentation(run, entry.folder, with_probability=True), image, arguments.settings)
    except ScanError as error:
        return Visited(entry, None, None, str(error), misaligned, flags)
    alignment = None if misaligned or entry.is_baseline else _alignment(run / entry.folder)
    return Visited(entry, findings, alignment, "", misaligned, flags, _scanner(entry, image))


def _scanner(entry: VisitInput, image: Volume) -> str:
    """The manifest's column `scanner`, else scanner and kernel as the header names them; empty where neither does."""
    header = (image.metadata.get(name, "") for name in HEADER_SCANNER)
    return entry.visit.covariates.get(SCANNER, "").strip() or " ".join(part for part in header if part)


def _alignment(folder: Path) -> Alignment | None:
    return read_alignment(folder) if (folder / "to_baseline.json").exists() else None


def _write_visit(run: Path, visited: Visited, trust: Mapping[str, Any]) -> list[str]:
    names = [f"{visited.entry.folder}/quality.json"]
    write_json(run / names[0], trust)
    if visited.findings is not None:
        names.append(f"{visited.entry.folder}/measures.json")
        write_json(run / names[1], measures(visited.findings, visited.scanner))
    return names


def _for_tracking(visited: Visited) -> VisitFindings:
    return VisitFindings(
        visit=visited.entry.visit.visit,
        study_day=visited.entry.visit.study_day,
        findings=visited.findings,
        alignment=visited.alignment,
        is_baseline=visited.entry.is_baseline,
        status="ok" if visited.findings is not None else "failed",
        scanner=visited.scanner,
    )


def _absent(arguments: TrackArguments) -> list[VisitFindings]:
    return [VisitFindings(visit, day, findings=None, status="missing") for visit, day in arguments.missing]
