"""One follow-up to its baseline: `patients/<id>/<visit>/to_baseline.*`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trialscan.imaging import Units, Volume, read_mask, read_volume
from trialscan.pipeline.setting import Setting, VisitInput
from trialscan.pipeline.tasks import Task
from trialscan.registration import register, write_alignment
from trialscan.study import RegistrationSettings, Scan

VERSION = 1


@dataclass(frozen=True)
class AlignArguments:
    """Both scans, the folders of their masks (relative to the run), and how to align."""

    fixed: Scan
    moving: Scan
    fixed_folder: str
    moving_folder: str
    units: str
    settings: RegistrationSettings


def align_task(setting: Setting, baseline: VisitInput, entry: VisitInput) -> Task:
    """The task of one follow-up."""
    settings, units = setting.protocol.registration, setting.protocol.segmentation.units
    return Task(
        kind="align",
        subject=entry.subject,
        version=VERSION,
        work=align,
        arguments=AlignArguments(baseline.visit.scan, entry.visit.scan, baseline.folder, entry.folder, units, settings),
        parameters=settings.model_dump(mode="json") | {"units": units},
        inputs={"fixed": baseline.image_sha256 or "", "moving": entry.image_sha256 or ""},
        needs=(f"segment {baseline.subject}", f"segment {entry.subject}"),
    )


def align(run: Path, arguments: AlignArguments, failures: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG001 - not tolerant
    """Register the follow-up to the baseline with both organ masks, and write the transforms with their quality."""
    folder = run / arguments.moving_folder
    for stale in folder.glob("to_baseline*"):
        stale.unlink()
    units = Units(arguments.units)
    alignment = register(
        read_volume(arguments.fixed.path, units),
        read_volume(arguments.moving.path, units),
        fixed_mask=_organ(run / arguments.fixed_folder),
        moving_mask=_organ(folder),
        settings=arguments.settings,
    )
    write_alignment(alignment, folder)
    return sorted(f"{arguments.moving_folder}/{path.name}" for path in folder.glob("to_baseline*"))


def _organ(folder: Path) -> Volume | None:
    path = folder / "organ.nii.gz"
    return read_mask(path) if path.exists() else None
