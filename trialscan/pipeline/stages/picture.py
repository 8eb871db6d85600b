"""The same slice of one patient at every visit, saved beside the masks for the reports to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trialscan.imaging import Units, Volume, read_volume
from trialscan.pipeline.setting import Setting, VisitInput
from trialscan.pipeline.stages.segment import read_segmentation
from trialscan.pipeline.tasks import Task
from trialscan.registration import read_alignment
from trialscan.reports import SlicePosition, choose_slice, write_panels
from trialscan.study import Patient

VERSION = 1


@dataclass(frozen=True)
class PictureArguments:
    """A patient's visits, the unit of the scans, and the window (center, width) they are shown in."""

    visits: tuple[VisitInput, ...]
    units: str
    window: tuple[float, float] | None


def picture_task(setting: Setting, patient: Patient, needs: tuple[str, ...]) -> Task:
    """The task of one patient; `needs` are the tasks that segment and align this patient's scans."""
    entries = setting.entries(patient)
    units, window = setting.protocol.segmentation.units, setting.protocol.report.window
    visits = [[entry.visit.visit, entry.visit.study_day, entry.is_baseline] for entry in entries]
    return Task(
        kind="picture",
        subject=patient.patient_id,
        version=VERSION,
        work=picture,
        arguments=PictureArguments(entries, units, window),
        parameters={"units": units, "window": window, "visits": visits},
        inputs={f"image {entry.visit.visit}": entry.image_sha256 or "" for entry in entries},
        needs=needs,
        tolerant=True,
    )


def picture(run: Path, arguments: PictureArguments, failures: Mapping[str, str]) -> Sequence[str]:
    """Choose the slice at the baseline and show every visit there; visits without masks have no picture."""
    shown = [entry for entry in arguments.visits if not _failed(entry, failures, "segment") and not entry.unreadable]
    position = None
    for entry in shown:
        if entry.is_baseline:
            position = _baseline_slice(run, entry, arguments.units)
    written: list[Path] = []
    for entry in shown:
        written += _show(run, entry, position, arguments, aligned=not _failed(entry, failures, "align"))
    return [path.relative_to(run).as_posix() for path in written]


def _failed(entry: VisitInput, failures: Mapping[str, str], kind: str) -> bool:
    return f"{kind} {entry.subject}" in failures


def _baseline_slice(run: Path, entry: VisitInput, units: str) -> SlicePosition:
    segmentation = read_segmentation(run, entry.folder)
    return choose_slice(segmentation.lesions, segmentation.organ, _image(entry, units))


def _image(entry: VisitInput, units: str) -> Volume:
    return read_volume(entry.visit.scan.path, Units(units))


def _show(
    run: Path, entry: VisitInput, position: SlicePosition | None, arguments: PictureArguments, *, aligned: bool
) -> tuple[Path, ...]:
    segmentation = read_segmentation(run, entry.folder)
    folder = run / entry.folder
    linked = aligned and not entry.is_baseline and (folder / "to_baseline.json").exists()
    return write_panels(
        folder,
        visit=entry.visit.visit,
        study_day=entry.visit.study_day,
        image=_image(entry, arguments.units),
        organ=segmentation.organ,
        lesions=segmentation.lesions,
        baseline=position if linked or entry.is_baseline else None,
        alignment=read_alignment(folder) if linked else None,
        window=arguments.window,
    )
