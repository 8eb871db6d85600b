"""From a DICOM file or folder to a `Volume`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging.dicom.facts import check_units, facts_of
from trialscan.imaging.dicom.files import Member, find_members, has_dicom_mark, open_dicom
from trialscan.imaging.dicom.pixels import decode_frames
from trialscan.imaging.dicom.slices import Slice, slices_of
from trialscan.imaging.dicom.stack import order_slices
from trialscan.imaging.volume import Units, Volume


def is_dicom(path: Path) -> bool:
    """Whether `path` is a folder, or a file that carries DICOM's mark or usual suffix."""
    return path.is_dir() or path.suffix.lower() in {".dcm", ".ima"} or has_dicom_mark(path)


def read_dicom(path: Path, units: Units) -> Volume:
    """Read the one image series of a file or folder: slices by position, values rescaled, LPS mm.

    Values are int16 (int32 where they need it) when every slice is rescaled by whole numbers, float32 otherwise.
    A plane without patient coordinates (ultrasound, plain radiograph) becomes a planar image of unknown spacing.
    `metadata` holds facts of the scanner and the reconstruction, none of the patient.

    Raises
    ------
    ImagingError
        There is no image or several series, pixels cannot be decoded, or `units` contradicts the header.
    GeometryError
        Slices are missing, duplicated, tilted, or differ in size, orientation or rescale.
    """
    members = find_members(path)
    planes = [(plane, member) for member in members for plane in slices_of(member)]
    header = members[0].header
    check_units(path.name, header, units)
    _check_count(path.name, members, len(planes))
    slices = [plane for plane, _ in planes]
    known = all(s.position is not None and s.orientation is not None and s.pixel_spacing for s in slices)
    if known:
        ordered, affine = order_slices(path.name, slices)
    elif len(slices) == 1:
        ordered, affine = (slices[0],), np.eye(4)
    else:
        raise GeometryError(path.name, "slices without position, orientation or pixel spacing", "all three on each")
    source = {id(plane): member for plane, member in planes}
    array = _values(path.name, ordered, [source[id(plane)] for plane in ordered])
    return Volume(array, affine, units, known, facts_of(header, ordered))


def _check_count(where: str, members: Sequence[Member], found: int) -> None:
    """The header's own count tells of lost first or last slices, which geometry cannot."""
    header = members[0].header
    acquisitions = {str(member.header.get("AcquisitionNumber", "")) for member in members}
    declared = header.get("NumberOfSlices") or (header.get("ImagesInAcquisition") if len(acquisitions) == 1 else None)
    if declared and 1 < found < int(declared):
        raise GeometryError(
            where,
            f"{found} slices",
            f"{declared} as the header says",
            "Export the series again, or as NIfTI if that count is of another reconstruction.",
        )


def _values(where: str, ordered: Sequence[Slice], members: Sequence[Member]) -> NDArray[Any]:
    """Rescaled values as (column, row, slice)."""
    _check_rescale(where, ordered, members[0].header)
    whole = all(plane.slope == 1.0 and plane.intercept.is_integer() for plane in ordered)
    stack = np.empty((len(ordered), *ordered[0].size), dtype=np.int32 if whole else np.float32)
    opened: tuple[Path, pydicom.Dataset, NDArray[Any]] | None = None
    for index, (plane, member) in enumerate(zip(ordered, members, strict=True)):
        if opened is None or opened[0] != member.path:
            dataset = open_dicom(member.path, pixels=True)
            opened = (member.path, dataset, decode_frames(member.path.name, dataset))
        stored = opened[2][plane.frame]
        stack[index] = stored * plane.slope + plane.intercept
    if whole and stack.min() >= -32768 and stack.max() <= 32767:
        stack = stack.astype(np.int16)
    return stack.transpose(2, 1, 0)


def _check_rescale(where: str, ordered: Sequence[Slice], header: pydicom.Dataset) -> None:
    if "ModalityLUTSequence" in header:
        raise ImagingError(where, "values by look-up table (ModalityLUTSequence)", "a linear rescale")
    scales = {(plane.slope, plane.intercept) for plane in ordered}
    if header.get("Modality") == "CT" and len(scales) > 1:
        raise GeometryError(where, f"{len(scales)} rescale formulas in one series", "one for all slices of a CT")
    if any(plane.slope == 0 or not np.isfinite([plane.slope, plane.intercept]).all() for plane in ordered):
        raise ImagingError(where, f"rescale slope {ordered[0].slope:g}", "a finite number other than zero")
