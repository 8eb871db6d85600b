"""Digests of everything a trial brings, taken before anything is computed."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trialscan.audit import digest_source
from trialscan.study import Scan, Study


@dataclass(frozen=True)
class SourceDigests:
    """sha256 of a scan and of a reader's masks; `problem` says what could not be read."""

    image: str | None
    masks: Mapping[str, str]
    problem: str = ""

    @property
    def inputs(self) -> dict[str, str]:
        """Name → sha256, as a task takes them."""
        return {"image": self.image or "", **self.masks}


def digest_sources(study: Study, threads: int) -> dict[Scan, SourceDigests]:
    """Digest every scan of a study and every mask it names; an unreadable file becomes a problem, not an error."""
    scans = [visit.scan for patient in study.patients for visit in patient.visits]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return dict(zip(scans, pool.map(_digest_scan, scans), strict=True))


def scan_files(path: Path) -> Sequence[Path]:
    """The files that make up a scan: a folder's, a `.mhd` header with its data file, or the file itself."""
    if path.is_dir():
        return sorted(item for item in path.rglob("*") if item.is_file())
    if path.suffix.lower() == ".mhd":
        return [path, *_detached_data(path)]
    return [path]


def _detached_data(header: Path) -> list[Path]:
    for line in header.read_text(encoding="latin-1").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "ElementDataFile" and value.strip() != "LOCAL":
            return [header.parent / value.strip()]
    return []


def _digest_scan(scan: Scan) -> SourceDigests:
    masks = {"organ_mask": scan.organ_mask, "lesion_mask": scan.lesion_mask}
    try:
        image = digest_source(scan_files(scan.path))
        return SourceDigests(image, {name: digest_source([path]) for name, path in masks.items() if path is not None})
    except OSError as error:
        return SourceDigests(None, {}, f"{scan.source}: cannot be read ({error.strerror})")
