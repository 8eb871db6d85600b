"""MetaImage (.mha, .mhd) and NRRD files, by SimpleITK."""

from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import ImagingError
from trialscan.imaging.itk import from_sitk
from trialscan.imaging.volume import Units, Volume


def read_itk(path: Path, units: Units) -> Volume:
    """Read a MetaImage or NRRD file to LPS mm.

    Raises
    ------
    ImagingError
        The file is missing, damaged, of another kind, or holds something other than one scalar image.
    """
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ImagingError(path.name, f"cannot be read: {reason}", "a complete image file") from error
    try:
        return from_sitk(image, units)
    except ImagingError as error:
        raise type(error)(path.name, error.found, error.expected, error.remedy) from error
