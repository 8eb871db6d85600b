"""Opens everything a trial brings, without computing anything, and lists what is wrong with it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trialscan.errors import ImagingError, ScanError
from trialscan.imaging import Units, read_mask, read_volume
from trialscan.study import Scan, find_protocol, load_protocol, load_study, resolve_model


@dataclass(frozen=True)
class Validation:
    """What was looked at, and one line a faulty scan."""

    patients: int
    scans: int
    faults: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0, or 4 where a scan or mask cannot be used."""
        return ScanError.exit_code if self.faults else 0


def validate_trial(manifest: Path, protocol: str | Path, arms: Path | None = None, threads: int = 1) -> Validation:
    """Check the inputs of a run.

    Raises
    ------
    ProtocolError, ManifestError
        The protocol or manifest itself is invalid; every fault is listed.
    """
    source = find_protocol(protocol)
    parsed = load_protocol(source)
    study = load_study(manifest, parsed, arms)
    resolve_model(parsed, source)
    units = Units(parsed.segmentation.units)
    scans = [visit.scan for patient in study.patients for visit in patient.visits]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        problems = list(pool.map(lambda scan: _problem(scan, units, manifest.resolve().parent), scans))
    return Validation(len(study.patients), len(scans), tuple(problem for problem in problems if problem))


def _problem(scan: Scan, units: Units, root: Path) -> str:
    """Why a scan or one of its masks cannot be used, or nothing."""
    try:
        volume = read_volume(scan.path, units)
        for mask in (scan.organ_mask, scan.lesion_mask):
            if mask is not None:
                read_mask(mask, like=volume)
    except (ImagingError, OSError) as error:
        return f"{scan.source}: {str(error).replace(f'{root}/', '')}"
    return ""
