"""One way out: the same volume gives the same bytes."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import ImagingError
from trialscan.imaging.container import SPACING_FIELD
from trialscan.imaging.itk import to_sitk
from trialscan.imaging.nifti import encode_nifti
from trialscan.imaging.read import image_suffix
from trialscan.imaging.volume import Volume

_WRITABLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def write_volume(path: Path, volume: Volume) -> None:
    """Write `.nii.gz`, `.nii` or `.mha`; a reader never sees half a file, and a rewrite gives the same bytes.

    Raises
    ------
    ImagingError
        The suffix is another one, or readers share no type for the volume's numbers.
    GeometryError
        The axes are sheared and the format is `.mha`.
    """
    path = Path(path)
    suffix = image_suffix(path)
    if volume.array.dtype.name not in _WRITABLE:
        raise ImagingError(path.name, f"numbers of type {volume.array.dtype}", "one of " + ", ".join(_WRITABLE))
    partial = path.with_name(f".partial.{path.name}")
    if suffix in {".nii", ".nii.gz"}:
        partial.write_bytes(encode_nifti(volume, compress=suffix == ".nii.gz"))
    elif suffix == ".mha":
        image = to_sitk(volume)
        if not volume.spacing_known:
            image.SetMetaData(SPACING_FIELD, "unknown")
        sitk.WriteImage(image, str(partial), useCompression=True)
    else:
        raise ImagingError(path.name, f"suffix {suffix!r}", ".nii.gz, .nii or .mha")
    partial.replace(path)


def write_volumes(volumes: Mapping[Path, Volume]) -> None:
    """Write several at once, each compressed on a thread of its own; raises as `write_volume`."""
    with ThreadPoolExecutor(max(1, len(volumes))) as writers:
        for written in [writers.submit(write_volume, path, volume) for path, volume in volumes.items()]:
            written.result()
