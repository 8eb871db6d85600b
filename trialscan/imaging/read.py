"""One way in for every kind of image file."""

from pathlib import Path

from trialscan.errors import ImagingError
from trialscan.imaging.dicom import is_dicom, read_dicom
from trialscan.imaging.metaimage import read_itk
from trialscan.imaging.nifti import read_nifti
from trialscan.imaging.picture import read_picture
from trialscan.imaging.volume import Units, Volume

_READERS = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".nrrd": read_itk,
    ".mha": read_itk,
    ".mhd": read_itk,
    ".png": read_picture,
    ".jpg": read_picture,
    ".jpeg": read_picture,
}


def read_volume(path: Path, units: Units | None = None) -> Volume:
    """Read a scan: NIfTI, NRRD, MetaImage, PNG, JPEG, or one DICOM series (a file, or a folder of slices).

    `units` says what the numbers mean (the protocol knows); without it they are plain intensities.

    Raises
    ------
    ImagingError
        The scan is missing, damaged, of an unknown kind, or not one scalar image.
    GeometryError
        DICOM slices are missing, duplicated, tilted or unlike each other.
    """
    path = Path(path)
    if not path.exists():
        raise ImagingError(path.name, "not found", "an image file or a DICOM folder")
    reader = _READERS.get(image_suffix(path)) if path.is_file() else None
    if reader is None and is_dicom(path):
        reader = read_dicom
    if reader is None:
        raise ImagingError(path.name, "an unknown kind of file", "one of " + " ".join(_READERS) + " or DICOM")
    try:
        return reader(path, Units.INTENSITY if units is None else units)
    except ImagingError as error:
        if error.where == path.name:
            raise
        raise type(error)(f"{path.name}: {error.where}", error.found, error.expected, error.remedy) from error


def image_suffix(path: Path) -> str:
    """The suffix that tells a file's kind, lower case; `.nii.gz` counts as one."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
