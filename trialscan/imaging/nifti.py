"""NIfTI files, by nibabel: it notices a damaged file, where ITK would fill the missing voxels and say nothing."""

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from trialscan.errors import ImagingError
from trialscan.imaging.volume import Units, Volume, affine_from

SPACING_UNKNOWN = b"trialscan: spacing unknown"
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNIT_IN_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_FORM_TOLERANCE_MM = 0.1
_QUATERNION_ROUNDING = 1e-3
_VOXELS_AT = 352
_NO_FORM = "neither qform nor sform: axes taken as L, P, S"


def read_nifti(path: Path, units: Units) -> Volume:
    """Read a NIfTI-1 or NIfTI-2 file, plain or gzipped, to LPS mm.

    The sform counts when its code is 1 or the qform has none, otherwise the qform (as ITK chooses); without either,
    the grid has the header's spacing and axes along L, P, S. `metadata["spatial_form"]` tells when the choice mattered.

    Raises
    ------
    ImagingError
        The file is damaged or no NIfTI, holds colour or complex numbers, several frames, or an impossible spacing.
    """
    data = _content(path)
    header = _header(path, data)
    _check_spacing(path, header)
    array = _voxels(path, data, header)
    try:
        affine, note = _spatial_form(header, array.shape)
    except (HeaderDataError, ValueError) as error:
        raise ImagingError(path.name, f"unreadable orientation: {error}", "a valid qform and sform") from error
    metadata = {"spatial_form": note} if note else {}
    known = bytes(header["descrip"]).rstrip(b"\0") != SPACING_UNKNOWN
    return Volume(array, affine, units, known, metadata)


def encode_nifti(volume: Volume, compress: bool) -> bytes:
    """The bytes of a NIfTI-1 file, the same for the same volume; unknown spacing is told in units and description."""
    affine = _RAS_TO_LPS @ volume.affine
    blank = np.broadcast_to(np.zeros((), volume.array.dtype), volume.shape)  # the header alone is asked of nibabel
    image = nib.Nifti1Image(blank, affine, dtype=volume.array.dtype)
    sheared = np.abs(volume.direction.T @ volume.direction - np.eye(3)).max() > 1e-6
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=0 if sheared else 1)
    image.header.set_slope_inter(1.0, 0.0)
    image.header.set_xyzt_units(xyz="mm" if volume.spacing_known else "unknown")
    if not volume.spacing_known:
        image.header["descrip"] = SPACING_UNKNOWN
    image.header["vox_offset"] = _VOXELS_AT
    image.header["magic"] = b"n+1\0"
    head = bytes(image.header.binaryblock).ljust(_VOXELS_AT, b"\0")
    voxels = volume.array.astype(image.header.get_data_dtype(), copy=False).tobytes(order="F")
    return gzip.compress(head + voxels, compresslevel=1, mtime=0) if compress else head + voxels


def _content(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise ImagingError(path.name, f"cannot be read: {error}", "a complete NIfTI file", "Copy it again.") from error


def _header(path: Path, data: bytes) -> nib.Nifti1Header:
    """The header as it stands: nibabel's own check would mend impossible numbers and go on."""
    if not data:
        raise ImagingError(path.name, "empty", "a NIfTI file", "Copy it again.")
    for kind, magic in ((nib.Nifti1Header, data[344:348]), (nib.Nifti2Header, data[4:8])):
        if magic in {b"n+1\0", b"n+2\0"}:
            try:
                return kind.from_fileobj(io.BytesIO(data), check=False)
            except WrapStructError as error:
                raise ImagingError(path.name, f"truncated header: {error}", "a complete NIfTI file") from error
    raise ImagingError(path.name, "no NIfTI header", "a NIfTI file in one piece")


def _check_spacing(path: Path, header: nib.Nifti1Header) -> None:
    spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64)[: max(1, min(3, int(header["dim"][0])))]
    if not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise ImagingError(path.name, f"voxel spacing {spacing.tolist()}", "positive numbers of millimetres")


def _voxels(path: Path, data: bytes, header: nib.Nifti1Header) -> NDArray[Any]:
    try:
        dtype, shape = header.get_data_dtype(), tuple(header.get_data_shape())
    except HeaderDataError as error:
        raise ImagingError(path.name, f"unreadable header: {error}", "a NIfTI file") from error
    if dtype.fields is not None or dtype.kind == "c":
        raise ImagingError(path.name, f"voxels of type {dtype}", "one real number a voxel")
    if len(shape) < 2 or any(n != 1 for n in shape[3:]) or min(shape) < 1:
        raise ImagingError(path.name, f"an array of shape {shape}", "one image of two or three axes")
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - int(header.get_data_offset())
    if found < expected:
        raise ImagingError(path.name, f"truncated: {found} bytes of voxels", f"{expected}", "Copy it again.")
    try:
        proxy = ArrayProxy(io.BytesIO(data), header)
        array = np.asanyarray(proxy)
    except (HeaderDataError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ImagingError(path.name, f"unreadable voxels: {reason}", "voxels as the header says") from error
    scaled = (proxy.slope, proxy.inter) != (1, 0)
    wanted = np.dtype(np.float32) if scaled else array.dtype.newbyteorder("=")
    return np.array(array.reshape((*shape, 1)[:3]), dtype=wanted)


def _spatial_form(header: nib.Nifti1Header, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], str]:
    """Affine in LPS mm, and a note when the file leaves a choice."""
    _complete(header)
    scale = np.diag([_UNIT_IN_MM.get(int(header["xyzt_units"]) & 7, 1.0)] * 3 + [1.0])
    qform, sform = header.get_qform(coded=True), header.get_sform(coded=True)
    if qform[1] == 0 and sform[1] == 0:
        spacing = [float(value) for value in header["pixdim"][1:4]]
        return scale @ affine_from((spacing[0], spacing[1], spacing[2])), _NO_FORM
    use_sform = sform[1] == 1 or qform[1] == 0
    chosen = sform[0] if use_sform else qform[0]
    note = ""
    if qform[1] and sform[1]:
        corners = np.array([*shape, 1.0]) * np.array(np.meshgrid([0, 1], [0, 1], [0, 1], [1])).reshape(4, 8).T
        gap = float(np.abs(corners @ (scale @ (qform[0] - sform[0])).T).max())
        if gap > _FORM_TOLERANCE_MM:
            note = f"qform and sform disagree by {gap:.2f} mm: {'sform' if use_sform else 'qform'} used"
    affine: NDArray[np.float64] = _RAS_TO_LPS @ scale @ chosen
    return affine, note


def _complete(header: nib.Nifti1Header) -> None:
    """Settle in place what the standard lets writers leave out, and a half-turn's quaternion rounded beyond 1."""
    if header["dim"][0] < 3:
        header["pixdim"][3] = 1.0
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1.0
    names = ("quatern_b", "quatern_c", "quatern_d")
    length = float(np.linalg.norm([float(header[name]) for name in names]))
    if 1.0 < length < 1.0 + _QUATERNION_ROUNDING:
        for name in names:
            header[name] = float(header[name]) / length
