"""Where one slice lies and how its stored numbers become values, whether it came as a file or as a frame."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from trialscan.errors import ImagingError
from trialscan.imaging.dicom.files import Member


@dataclass(frozen=True, eq=False)
class Slice:
    """One image plane of a scan.

    Attributes
    ----------
    label : how messages name it, for instance ``instance 41``.
    number : InstanceNumber, or the frame's position number in its stack; None where the file has none.
    frame : index of the frame in its file.
    position : LPS mm of the first pixel's centre; None where the file says nothing of the patient.
    orientation : rows are the LPS unit vectors along a pixel row and down a pixel column; None likewise.
    pixel_spacing : (between rows, between columns) in mm; None likewise.
    thickness, declared_gap : mm, None where the file has none.
    size : (rows, columns).
    slope, intercept : value = slope × stored + intercept.
    """

    label: str
    number: int | None
    frame: int
    position: NDArray[np.float64] | None
    orientation: NDArray[np.float64] | None
    pixel_spacing: tuple[float, float] | None
    thickness: float | None
    declared_gap: float | None
    size: tuple[int, int]
    slope: float
    intercept: float


def slices_of(member: Member) -> tuple[Slice, ...]:
    """The planes of one file: one for classic DICOM, one a frame for enhanced DICOM.

    Raises
    ------
    ImagingError
        The file has several frames that say nothing of where they lie (a cine loop), or a malformed number.
    """
    header = member.header
    groups = header.get("PerFrameFunctionalGroupsSequence")
    frames = int(header.get("NumberOfFrames") or 1)
    if groups and len(groups) != frames:
        raise ImagingError(member.path.name, f"{len(groups)} frame descriptions", f"{frames} as the header says")
    try:
        if groups:
            return tuple(_slice(member, index, attributes_of(header, index)) for index in range(len(groups)))
        if frames == 1:
            return (_slice(member, 0, header),)
    except (TypeError, ValueError) as error:
        raise ImagingError(member.path.name, f"malformed geometry: {error}", "numbers as DICOM asks") from error
    raise ImagingError(
        member.path.name, f"{frames} frames without positions ({member.kind})", "a single frame or positioned frames"
    )


def attributes_of(header: pydicom.Dataset, frame: int) -> pydicom.Dataset:
    """One frame's attributes as a classic header holds them: enhanced DICOM keeps them in shared and own groups."""
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        return header
    flat = pydicom.Dataset()
    for group in (*(header.get("SharedFunctionalGroupsSequence") or ()), groups[frame]):
        for element in group:
            if element.VR == "SQ" and len(element.value) == 1:
                flat.update(element.value[0])
    return flat


def _slice(member: Member, index: int, attributes: pydicom.Dataset) -> Slice:
    header = member.header
    number = attributes.get("InStackPositionNumber", attributes.get("InstanceNumber"))
    orientation = _numbers(attributes.get("ImageOrientationPatient"), 6)
    spacing = _numbers(attributes.get("PixelSpacing"), 2)
    slope = attributes.get("RescaleSlope")
    return Slice(
        label=_label(member, index, number),
        number=None if number is None else int(number),
        frame=index,
        position=_numbers(attributes.get("ImagePositionPatient"), 3),
        orientation=None if orientation is None else orientation.reshape(2, 3),
        pixel_spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        thickness=_positive(attributes.get("SliceThickness")),
        declared_gap=_positive(attributes.get("SpacingBetweenSlices")),
        size=(int(header.Rows), int(header.Columns)),
        slope=1.0 if slope is None else float(slope),
        intercept=float(attributes.get("RescaleIntercept") or 0.0),
    )


def _label(member: Member, index: int, number: int | None) -> str:
    if "PerFrameFunctionalGroupsSequence" in member.header:
        return f"frame {index + 1 if number is None else number}"
    return member.path.name if number is None else f"instance {number}"


def _numbers(values: Iterable[Any] | None, count: int) -> NDArray[np.float64] | None:
    if values is None:
        return None
    numbers = np.array([float(value) for value in values])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{numbers.tolist()} instead of {count} finite numbers")
    return numbers


def _positive(value: Any | None) -> float | None:  # noqa: ANN401 - pydicom gives its own number types
    return float(value) if value is not None and float(value) > 0 else None
