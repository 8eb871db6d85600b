"""The border to SimpleITK: the same voxels and the same LPS millimetres in ITK's own type."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging.volume import Units, Volume

_SHEAR_TOLERANCE = 1e-3


def to_sitk(volume: Volume) -> sitk.Image:
    """Copy `volume` to a three-dimensional SimpleITK image (its arrays are (k, j, i); both use LPS mm).

    Raises
    ------
    GeometryError
        The axes are not at right angles: ITK images cannot hold a shear.
    ImagingError
        ITK has no such type of numbers (bool, float16).
    """
    require_perpendicular(volume)
    try:
        image = sitk.GetImageFromArray(volume.array.transpose(2, 1, 0))
    except TypeError as error:
        raise ImagingError("volume", f"numbers of type {volume.array.dtype}", "a type that ITK knows") from error
    image.SetSpacing(volume.grid_spacing)
    image.SetOrigin(volume.affine[:3, 3].tolist())
    image.SetDirection(volume.direction.ravel().tolist())
    return image


def from_sitk(image: sitk.Image, units: Units, spacing_known: bool = True) -> Volume:
    """Copy a scalar SimpleITK image to a `Volume`; two-dimensional images become planar, one-frame series lose time.

    Raises
    ------
    ImagingError
        The image holds colour, vectors or complex numbers, or more than one frame.
    """
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() != 1 or np.iscomplexobj(array):
        raise ImagingError("image", f"pixels of type {image.GetPixelIDTypeAsString()}", "one real number a voxel")
    dimension = image.GetDimension()
    if dimension == 4 and image.GetSize()[3] == 1:
        image, array, dimension = image[:, :, :, 0], array[0], 3
    if dimension not in {2, 3}:
        raise ImagingError("image", f"an array of shape {image.GetSize()}", "one image of two or three axes")
    array = array[None] if dimension == 2 else array
    spacing, origin, direction = np.ones(3), np.zeros(3), np.eye(3)
    spacing[:dimension] = image.GetSpacing()
    origin[:dimension] = image.GetOrigin()
    direction[:dimension, :dimension] = np.reshape(image.GetDirection(), (dimension, dimension))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, origin
    return Volume(array.transpose(2, 1, 0), affine, units, spacing_known)


def require_perpendicular(volume: Volume) -> None:
    """Raise GeometryError unless the axes are at right angles."""
    shear = float(np.abs(volume.direction.T @ volume.direction - np.eye(3)).max())
    if shear > _SHEAR_TOLERANCE:
        raise GeometryError(
            "volume",
            f"axes that are not at right angles (cosine {shear:.4f})",
            "perpendicular axes",
            "Resample it to an upright grid first.",
        )
