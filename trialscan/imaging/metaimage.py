"""MetaImage (.mha, .mhd) and NRRD files, read by SimpleITK once they are found whole."""

from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import ImagingError
from trialscan.imaging.container import check_metaimage, check_nrrd
from trialscan.imaging.itk import from_sitk
from trialscan.imaging.volume import Units, Volume


def read_itk(path: Path, units: Units) -> Volume:
    """Read a MetaImage or NRRD file to LPS mm; one that tells no spacing has unknown spacing.

    Raises
    ------
    ImagingError
        The file is missing, damaged, of another kind, or holds something other than one scalar image.
    """
    known = check_nrrd(path) if path.suffix.lower() == ".nrrd" else check_metaimage(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ImagingError(path.name, f"cannot be read: {reason}", "a complete image file") from error
    return from_sitk(image, units, known)
