"""One follow-up to its baseline: `patients/<id>/<visit>/to_baseline.*`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trialscan.imaging import Units, Volume, read_mask, read_volume
from trialscan.pipeline.setting import Setting, VisitInput
from trialscan.pipeline.tasks import Task
from trialscan.registration import register, write_alignment
from trialscan.study import RegistrationSettings, Scan

VERSION = 4


@dataclass(frozen=True)
class AlignArguments:
    """Both scans, the folders of their masks (relative to the run), and how to align."""

    fixed: Scan
    moving: Scan
    fixed_folder: str
    moving_folder: str
    units: str
    settings: RegistrationSettings
    device: str


def align_task(setting: Setting, baseline: VisitInput, entry: VisitInput) -> Task:
    """The task of one follow-up."""
    settings, units = setting.protocol.registration, setting.protocol.segmentation.units
    device = setting.device if settings.engine == "torch" else "cpu"
    return Task(
        kind="align",
        subject=entry.subject,
        version=VERSION,
        work=align,
        arguments=AlignArguments(
            baseline.visit.scan, entry.visit.scan, baseline.folder, entry.folder, units, settings, device
        ),
        parameters=settings.model_dump(mode="json")
        | {"units": units}
        | ({"device": device} if settings.engine == "torch" else {}),
        inputs={"fixed": baseline.image_sha256 or "", "moving": entry.image_sha256 or ""},
        needs=(f"segment {baseline.subject}", f"segment {entry.subject}"),
        resource="gpu" if device == "cuda" else "cpu",
    )


def align(run: Path, arguments: AlignArguments, failures: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG001 - not tolerant
    """Register the follow-up to the baseline by organ, lesions left out, and write transforms and their quality."""
    folder = run / arguments.moving_folder
    for stale in folder.glob("to_baseline*"):
        stale.unlink()
    units = Units(arguments.units)
    alignment = register(
        read_volume(arguments.fixed.path, units),
        read_volume(arguments.moving.path, units),
        fixed_mask=_mask(run / arguments.fixed_folder, "organ"),
        moving_mask=_mask(folder, "organ"),
        fixed_lesions=_mask(run / arguments.fixed_folder, "lesions"),
        moving_lesions=_mask(folder, "lesions"),
        settings=arguments.settings,
        device=arguments.device,
    )
    write_alignment(alignment, folder)
    return sorted(f"{arguments.moving_folder}/{path.name}" for path in folder.glob("to_baseline*"))


def _mask(folder: Path, name: str) -> Volume | None:
    path = folder / f"{name}.nii.gz"
    return read_mask(path) if path.exists() else None
