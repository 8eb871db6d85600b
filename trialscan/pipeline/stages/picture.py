"""The same slice of one patient at every visit, saved beside the masks for the reports to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trialscan.imaging import Units, Volume, read_volume
from trialscan.pipeline.setting import Setting, VisitInput
from trialscan.pipeline.stages.segment import read_segmentation
from trialscan.pipeline.tasks import Task
from trialscan.registration import Alignment, mid_space, read_alignment
from trialscan.reports import SlicePosition, choose_slice, write_panels
from trialscan.study import Patient

VERSION = 2
FEWEST_VISITS = 3
RIGID_RUNGS = ("none", "start", "rigid", "stretch")


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
    alignments = {entry.subject: _alignment(run, entry, failures) for entry in shown}
    if position is not None and position.spacing_known:
        position, alignments = _half_way(position, shown, alignments)
    written: list[Path] = []
    for entry in shown:
        written += _show(run, entry, position, arguments, alignments[entry.subject])
    return [path.relative_to(run).as_posix() for path in written]


def _failed(entry: VisitInput, failures: Mapping[str, str], kind: str) -> bool:
    return f"{kind} {entry.subject}" in failures


def _baseline_slice(run: Path, entry: VisitInput, units: str) -> SlicePosition:
    segmentation = read_segmentation(run, entry.folder)
    return choose_slice(segmentation.lesions, segmentation.organ, _image(entry, units))


def _image(entry: VisitInput, units: str) -> Volume:
    return read_volume(entry.visit.scan.path, Units(units))


def _alignment(run: Path, entry: VisitInput, failures: Mapping[str, str]) -> Alignment | None:
    folder = run / entry.folder
    linked = not entry.is_baseline and not _failed(entry, failures, "align") and (folder / "to_baseline.json").exists()
    return read_alignment(folder) if linked else None


def _half_way(
    position: SlicePosition, shown: Sequence[VisitInput], alignments: Mapping[str, Alignment | None]
) -> tuple[SlicePosition, dict[str, Alignment | None]]:
    """The slice and the alignments in the space half-way between three or more rigidly aligned visits.

    With fewer, or where any alignment bends or is freely affine, everything stays as it is. Failed visits count for
    nothing.
    """
    used = {subject: each for subject, each in alignments.items() if each is not None and each.status != "fail"}
    baselines = [entry.subject for entry in shown if entry.is_baseline]
    if len(used) + len(baselines) < FEWEST_VISITS or any(each.rung not in RIGID_RUNGS for each in used.values()):
        return position, dict(alignments)
    moved = mid_space(list(used.values()))
    shift = moved[0].to_baseline([position.center])[0] - np.asarray(position.center)
    affine = position.affine.copy()
    affine[:3, 3] += shift
    return replace(position, affine=affine), {**alignments, **dict(zip((*baselines, *used), moved, strict=True))}


def _show(
    run: Path,
    entry: VisitInput,
    position: SlicePosition | None,
    arguments: PictureArguments,
    alignment: Alignment | None,
) -> tuple[Path, ...]:
    segmentation = read_segmentation(run, entry.folder)
    folder = run / entry.folder
    return write_panels(
        folder,
        visit=entry.visit.visit,
        study_day=entry.visit.study_day,
        image=_image(entry, arguments.units),
        organ=segmentation.organ,
        lesions=segmentation.lesions,
        baseline=position if alignment is not None or entry.is_baseline else None,
        alignment=alignment,
        window=arguments.window,
    )
