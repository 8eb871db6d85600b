"""Which DICOM files make up the one scan that a path names."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from trialscan.errors import ImagingError

_DICOM_SUFFIXES = {".dcm", ".ima"}
_NO_SCAN = {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG", "DOC"}


@dataclass(frozen=True)
class Member:
    """One file of a scan: its header, read without pixels."""

    path: Path
    header: pydicom.Dataset

    @property
    def kind(self) -> str:
        """Name of the DICOM storage class, from the file's first bytes."""
        meta = self.header.file_meta
        return str(pydicom.uid.UID(str(meta.get("MediaStorageSOPClassUID") or self.header.get("SOPClassUID", ""))).name)

    @property
    def is_scan(self) -> bool:
        """Whether the file holds pixels of a patient, not drawings on them, a plan or a scout view."""
        header = self.header
        return (
            "Rows" in header
            and header.get("Modality", "") not in _NO_SCAN
            and "LOCALIZER" not in (header.get("ImageType") or ())
        )


def find_members(path: Path) -> tuple[Member, ...]:
    """The files of the one image series under `path` (a file or a folder), in the order of their names.

    Directory files, contours, segmentations and scout views are left out.

    Raises
    ------
    ImagingError
        There is no image, there are several series, or a DICOM file cannot be opened.
    """
    members = tuple(_headers(path))
    scans = tuple(member for member in members if member.is_scan)
    if not scans:
        kinds = ", ".join(sorted({member.kind for member in members})) or "no DICOM file"
        raise ImagingError(path.name, f"no scan in it (found: {kinds})", "one DICOM image series")
    series: dict[str, list[Member]] = {}
    for member in scans:
        series.setdefault(str(member.header.get("SeriesInstanceUID", "")), []).append(member)
    if len(series) > 1:
        listing = "; ".join(sorted(_describe(group) for group in series.values()))
        raise ImagingError(
            path.name,
            f"{len(series)} image series ({listing})",
            "exactly one",
            "Keep each series in a folder of its own.",
        )
    return scans


def open_dicom(path: Path, pixels: bool) -> pydicom.Dataset:
    """Read one DICOM file, with or without its pixels.

    Raises
    ------
    ImagingError
        The file is unreadable, cut short or no DICOM.
    """
    try:
        with warnings.catch_warnings():
            # Odd spellings in fields that are never used (names, dates, UIDs) are no fault of the image.
            warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
            return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ImagingError(path.name, f"cannot be read: {reason}", "a complete DICOM file", "Copy it again.") from error


def has_dicom_mark(path: Path) -> bool:
    """Whether the file carries DICOM's mark after its preamble of 128 bytes; ImagingError when it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise ImagingError(path.name, f"cannot be opened: {error.strerror}", "a readable file") from error


def _headers(path: Path) -> Iterator[Member]:
    if path.is_file():
        yield _member(path)
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and (file.suffix.lower() in _DICOM_SUFFIXES or has_dicom_mark(file)):
            yield _member(file)


def _member(path: Path) -> Member:
    """One file's header; an image whose header breaks off must not pass for something that is no image."""
    member = Member(path, open_dicom(path, pixels=False))
    if not member.kind or ("Image Storage" in member.kind and "Rows" not in member.header):
        raise ImagingError(path.name, "the header ends early", "a complete DICOM file", "Copy it again.")
    return member


def _describe(group: list[Member]) -> str:
    header = group[0].header
    return f"{header.get('Modality', '?')} series {header.get('SeriesNumber', '?')}: {len(group)} images"
