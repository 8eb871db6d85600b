"""A volume on another grid: for networks, registration and pictures, never before anything is counted."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging.itk import from_sitk, require_perpendicular, to_sitk
from trialscan.imaging.volume import Units, Volume

_SMOOTHED_FROM = 1.5
_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def resample(
    volume: Volume,
    *,
    spacing_mm: tuple[float, float, float] | None = None,
    like: Volume | None = None,
    order: int = 1,
    fill: float | None = None,
) -> Volume:
    """Interpolate `volume` to voxels of `spacing_mm` over the same extent, or to the grid of `like`.

    Parameters
    ----------
    spacing_mm : new voxel edges along i, j, k; the grid keeps its first corner and its extent to half a voxel.
        A planar image keeps its one slice.
    like : gives the whole grid instead.
    order : 0 nearest neighbour, keeping the numbers' type; 1 linear, giving float32 and smoothed first along axes
        that become more than 1.5 times coarser (Gaussian matching both voxel widths, Cardoso et al., MICCAI 2015).
    fill : value outside the source; its lowest value when None.

    Raises
    ------
    GeometryError
        Axes are sheared, millimetres are asked of an image without spacing, or only one of two grids has millimetres.
    ImagingError
        Not exactly one target is given, spacing is not positive, or labels are to be averaged.
    """
    if order not in {0, 1} or (order == 1 and volume.units is Units.LABEL):
        raise ImagingError("resample", f"order {order} for {volume.units} voxels", "0, or 1 for intensities")
    shape, affine = _target(volume, spacing_mm, like)
    source = volume.with_array(_smoothed(volume, affine)) if order == 1 else volume
    filter_ = sitk.ResampleImageFilter()
    filter_.SetInterpolator(sitk.sitkLinear if order == 1 else sitk.sitkNearestNeighbor)
    filter_.SetDefaultPixelValue(float(np.nanmin(volume.array)) if fill is None else fill)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    filter_.SetSize(shape)
    filter_.SetOutputSpacing(spacing.tolist())
    filter_.SetOutputOrigin(affine[:3, 3].tolist())
    filter_.SetOutputDirection((affine[:3, :3] / spacing).ravel().tolist())
    moved = from_sitk(filter_.Execute(to_sitk(source)), volume.units, volume.spacing_known)
    return Volume(moved.array, affine, volume.units, volume.spacing_known, volume.metadata)


def _target(
    volume: Volume, spacing_mm: tuple[float, float, float] | None, like: Volume | None
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    if like is not None and spacing_mm is None:
        require_perpendicular(like)
        if like.spacing_known != volume.spacing_known:
            raise GeometryError("resample", "one grid in millimetres and one in pixels", "both alike")
        return like.shape, like.affine
    if spacing_mm is None or like is not None:
        raise ImagingError("resample", "both or neither of spacing_mm and like", "exactly one of them")
    if not all(np.isfinite(spacing_mm)) or min(spacing_mm) <= 0:
        raise ImagingError("resample", f"spacing {spacing_mm} mm", "positive numbers")
    return _finer_or_coarser(volume, spacing_mm)


def _finer_or_coarser(
    volume: Volume, spacing_mm: tuple[float, float, float]
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape and affine of the grid that shares the first voxel's outer corner."""
    old = np.asarray(volume.spacing_mm)
    new = np.where(np.asarray(volume.shape) == 1, old, spacing_mm)
    i, j, k = np.maximum(1, np.rint(np.asarray(volume.shape) * old / new)).astype(int).tolist()
    affine = volume.affine.copy()
    affine[:3, :3] = volume.direction * new
    affine[:3, 3] = volume.affine[:3, 3] + volume.direction @ ((new - old) / 2.0)
    return (i, j, k), affine


def _smoothed(volume: Volume, affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """Blur along each axis that gets coarser, as wide as its new voxels are wider than the old ones."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    nearest = np.abs(volume.direction.T @ (affine[:3, :3] / steps)).argmax(axis=1)
    ratio = steps[nearest] / np.asarray(volume.grid_spacing)
    sigma = np.where(ratio > _SMOOTHED_FROM, np.sqrt(np.maximum(ratio**2 - 1.0, 0.0)) / _FWHM_PER_SIGMA, 0.0)
    sigma[np.asarray(volume.shape) == 1] = 0.0
    array = volume.array.astype(np.float32)
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(array, sigma, mode="nearest") if sigma.any() else array
    return blurred
