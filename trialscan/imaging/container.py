"""MetaImage and NRRD files checked before ITK opens them.

ITK reads a corrupt compressed block as whatever memory holds, takes a position that is no number as zero, and follows
a data file's name anywhere on the disk; each of these has to be an error.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trialscan.errors import ImagingError

SPACING_FIELD = "TrialscanSpacing"
_LONGEST_HEADER = 1 << 20
_CHUNK = 1 << 20
_META_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}


@dataclass(frozen=True)
class _Header:
    """Fields of a text header and where the voxels begin."""

    fields: Mapping[str, str]
    data: Path
    offset: int


def check_metaimage(path: Path) -> bool:
    """Whether the file tells its spacing, once header and voxels are found whole.

    Raises
    ------
    ImagingError
        The header is unreadable, its numbers are impossible, or the voxels are cut short or corrupt.
    """
    header = _metaimage_header(path)
    fields = header.fields
    for name in ("ElementSpacing", "ElementSize"):
        if any(not value > 0 for value in _numbers(path, fields, name)):
            raise ImagingError(path.name, f"{name} {fields[name]}", "positive numbers of millimetres")
    for name in ("Offset", "Position", "Origin", "TransformMatrix", "Orientation", "Rotation"):
        _numbers(path, fields, name)
    size = math.prod(_numbers(path, fields, "DimSize")) * float(fields.get("ElementNumberOfChannels", "1"))
    _check_voxels(path, header, int(size) * _META_BYTES.get(fields.get("ElementType", ""), 1))
    return bool({"ElementSpacing", "ElementSize"} & fields.keys()) and fields.get(SPACING_FIELD) != "unknown"


def check_nrrd(path: Path) -> bool:
    """Whether the file tells its spacing, once a compressed block is found whole (ITK checks a plain one's size).

    Raises
    ------
    ImagingError
        The header is unreadable or the compressed voxels are cut short or corrupt.
    """
    header = _nrrd_header(path)
    if header.fields.get("encoding", "").lower() in {"gzip", "gz"}:
        _inflate(path, header.data, header.offset)
    return bool({"space directions", "spacings"} & header.fields.keys())


def _metaimage_header(path: Path) -> _Header:
    content = _beginning(path)
    fields: dict[str, str] = {}
    offset = 0
    for line in content.splitlines(keepends=True):
        offset += len(line)
        name, separator, value = line.decode("latin-1").partition("=")
        if not separator:
            break
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            local = value.strip().upper() == "LOCAL"
            return _Header(fields, path if local else _beside(path, value.strip()), offset if local else 0)
    raise ImagingError(path.name, "no MetaImage header", "a .mha or .mhd file")


def _nrrd_header(path: Path) -> _Header:
    content = _beginning(path)
    if not content.startswith(b"NRRD"):
        raise ImagingError(path.name, "no NRRD header", "a .nrrd file")
    fields: dict[str, str] = {}
    offset = 0
    for line in content.splitlines(keepends=True):
        offset += len(line)
        if not line.strip():
            break
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.strip().lower()] = value.strip()
    detached = fields.get("data file", fields.get("datafile"))
    return _Header(fields, _beside(path, detached) if detached else path, 0 if detached else offset)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_HEADER)
    except OSError as error:
        raise ImagingError(path.name, f"cannot be opened: {error.strerror}", "a readable file") from error
    if not content:
        raise ImagingError(path.name, "empty", "an image file", "Copy it again.")
    return content


def _beside(path: Path, name: str) -> Path:
    """The separate data file, which has to lie in the header's folder."""
    folder = path.parent.resolve()
    data = (folder / name).resolve()
    if not data.is_relative_to(folder) or not data.is_file():
        raise ImagingError(path.name, f"voxels in {name!r}", "one data file in the header's own folder")
    return data


def _numbers(path: Path, fields: Mapping[str, str], name: str) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in fields.get(name, "").split())
    except ValueError as error:
        raise ImagingError(path.name, f"{name} {fields[name]!r}", "numbers") from error
    if not all(math.isfinite(value) for value in values):
        raise ImagingError(path.name, f"{name} {fields[name]}", "finite numbers")
    return values


def _check_voxels(path: Path, header: _Header, expected: int) -> None:
    if header.fields.get("CompressedData", "").lower() in {"true", "1"}:
        found = _inflate(path, header.data, header.offset)
    elif header.fields.get("BinaryData", "true").lower() in {"true", "1"}:
        found = header.data.stat().st_size - header.offset
    else:
        return
    if found < expected:
        raise ImagingError(path.name, f"truncated: {found} bytes of voxels", f"{expected}", "Copy it again.")


def _inflate(path: Path, data: Path, offset: int) -> int:
    """Length of a zlib or gzip stream that is whole to its checksum; nothing of it is kept."""
    stream = zlib.decompressobj(wbits=47)
    total = 0
    try:
        with data.open("rb") as file:
            file.seek(offset)
            while not stream.eof and (block := stream.unconsumed_tail or file.read(_CHUNK)):
                total += len(stream.decompress(block, _CHUNK))
    except zlib.error as error:
        raise ImagingError(path.name, f"corrupt: {error}", "intact compressed voxels", "Copy it again.") from error
    if not stream.eof:
        raise ImagingError(path.name, "truncated: the compressed voxels end early", "all of them", "Copy it again.")
    return total
