"""What was drawn on a DICOM series, as segmentation objects or contours, made a label mask on the series' own grid."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging.dicom.contours import frames_of_reference, structure_masks
from trialscan.imaging.dicom.files import find_members, has_dicom_mark, open_dicom
from trialscan.imaging.dicom.segments import segment_masks
from trialscan.imaging.volume import Units, Volume

_DRAWN = {"SEG", "RTSTRUCT"}


def read_drawings(path: Path, series: Path, like: Volume, structures: Mapping[str, int]) -> Volume:
    """Label mask of drawn structures.

    Parameters
    ----------
    path : a DICOM SEG or RTSTRUCT file, or a folder of them.
    series : the image series they were drawn on, a file or a folder; `like` is its volume.
    structures : label (1 to 255) by the name of a segment or ROI. Where two overlap the later one counts.

    Raises
    ------
    GeometryError
        The drawings are of another frame of reference or not on the image's voxels or slices.
    ImagingError
        There is no drawing, a structure is not among them or is empty, or a file cannot be read.
    """
    frame = str(find_members(series)[0].header.get("FrameOfReferenceUID", ""))
    found: dict[str, NDArray[np.bool_]] = {}
    for file in _drawn_files(path):
        for name, mask in _masks(file, frame, like).items():
            found[name] = found[name] | mask if name in found else mask
    labels = np.zeros(like.shape, dtype=np.uint8)
    for name, label in structures.items():
        if name not in found or not found[name].any():
            raise ImagingError(
                path.name,
                f"structure {name!r} is not drawn",
                f"one of {', '.join(sorted(found)) or 'none'}",
                "Name the structures as the file does.",
            )
        labels[found[name]] = label
    return Volume(labels, like.affine, Units.LABEL, like.spacing_known)


def _drawn_files(path: Path) -> list[Path]:
    candidates = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    marked = [file for file in candidates if has_dicom_mark(file)]
    drawn = [file for file in marked if open_dicom(file, pixels=False).get("Modality") in _DRAWN]
    if not drawn:
        raise ImagingError(path.name, "no drawing in it", "a DICOM SEG or RTSTRUCT file")
    return drawn


def _masks(file: Path, frame: str, like: Volume) -> dict[str, NDArray[np.bool_]]:
    header = open_dicom(file, pixels=False)
    if header.Modality == "SEG":
        _check_frame(file.name, str(header.get("FrameOfReferenceUID", "")), frame)
        return segment_masks(file, like)
    for name, own in frames_of_reference(header).items():
        _check_frame(f"{file.name}: {name}", own, frame)
    return structure_masks(file.name, header, like)


def _check_frame(where: str, own: str, frame: str) -> None:
    if own and frame and own != frame:
        raise GeometryError(
            where, f"drawn in frame of reference {own}", f"the image's {frame}", "Give the series it was drawn on."
        )
