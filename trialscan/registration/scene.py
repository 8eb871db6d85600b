"""What the engines see: both scans on working grids around the organ, on one intensity scale, the rest blanked out.

A planar image is registered in two dimensions; `Frame` carries its plane to the patient's coordinates and back.
"""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.imaging import Units, Volume, clamp, resample, to_sitk
from trialscan.registration.neutral import without_lesions
from trialscan.registration.sides import MaskedScan, Side, side_of

MARGIN_MM = 9.0
SCALE_FREE_PIXELS = 160
SCALE_FREE_MARGIN = 0.15
INTENSITY_SCALE = 1000.0
AIR_FILLED_WINDOW_HU = (-1024.0, -200.0)
_AIR_FILLED_BELOW_HU = -600.0
_ROBUST_PERCENTILES = (0.5, 99.5)
_BORDER_VOXELS = 3
_HALF = 0.5
_LARGE_VOXELS = 200_000


@dataclass(frozen=True)
class Scene:
    """Everything a registration engine needs, in two or three dimensions.

    fixed, moving : float32 images on a scale of 0 … 1000; outside the organ they hold `background`.
    fixed_mask, moving_mask : share of each voxel that is organ, 0 … 1; None unless both scans have a mask.
    fixed_lesions, moving_lesions : share of each voxel that is lesion; None where no mask was given. The images show
        sound organ there.
    shaded : volumes whose intensities have no scale, as in MR, where the coils brighten one side of the head.
    fixed_side, moving_side : the scans themselves, with their masks, as they were given.
    fixed_frame, moving_frame : 4×4 rigid maps from scene coordinates to LPS mm.
    fixed_center, moving_center : centroid of the organ, or of intensity, in scene coordinates.
    size_ratio : length in the moving scan that answers to 1 in the fixed one; 1 when millimetres are known.
    """

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image | None
    moving_mask: sitk.Image | None
    fixed_lesions: sitk.Image | None
    moving_lesions: sitk.Image | None
    background: float
    scale_free: bool
    shaded: bool
    size_ratio: float
    fixed_side: Side
    moving_side: Side
    fixed_frame: NDArray[np.float64]
    moving_frame: NDArray[np.float64]
    fixed_center: NDArray[np.float64]
    moving_center: NDArray[np.float64]

    @property
    def dimension(self) -> int:
        """2 for planar images, else 3."""
        return int(self.fixed.GetDimension())

    @property
    def is_large(self) -> bool:
        """Whether iterating over every voxel of the working grid costs more than it brings."""
        return bool(self.fixed.GetNumberOfPixels() > _LARGE_VOXELS)

    def region(self) -> NDArray[np.bool_]:
        """Voxels of the fixed grid, in SimpleITK's (k, j, i) order, in which quality is measured."""
        if self.fixed_mask is None:
            return np.ones(self.fixed.GetSize()[::-1], dtype=bool)
        inside: NDArray[np.bool_] = sitk.GetArrayViewFromImage(self.fixed_mask) > 0.5
        return inside

    def interior(self) -> NDArray[np.bool_]:
        """`region` without its outer three voxels, where the organ's border would outweigh what lies inside it."""
        region = self.region()
        if self.fixed_mask is None:
            return region
        inner: NDArray[np.bool_] = ndimage.binary_erosion(region, iterations=_BORDER_VOXELS)
        return inner if inner.any() else region


def build_scene(fixed: MaskedScan, moving: MaskedScan, spacing_mm: float) -> Scene:
    """Put both scans on working grids no finer than `spacing_mm` and than the scan's own finest axis.

    Organ masks steer the registration only when both scans have one; they must hold at least one voxel. Lesions are
    replaced by sound organ in each scan. Without known spacing the working voxel is a share of the organ's extent.
    """
    scans = [fixed, moving]
    both = fixed.organ is not None and moving.organ is not None
    sides = [side_of(scan if both else replace(scan, organ=None)) for scan in scans]
    scale_free = not all(scan.image.spacing_known for scan in scans)
    windows, outside = _windows(*sides)
    grids = [_working_grid(side, spacing_mm, scale_free) for side in sides]
    arrays = [_on_scale(side, grid, window) for side, grid, window in zip(sides, grids, windows, strict=True)]
    shares = [_share(side.organ, side, grid) for side, grid in zip(sides, grids, strict=True)]
    lesions = [_share(side.lesions, side, grid) for side, grid in zip(sides, grids, strict=True)]
    arrays = [_sound(*parts) for parts in zip(arrays, shares, lesions, grids, strict=True)]
    background = outside * INTENSITY_SCALE
    if both:
        arrays = _organ_only(arrays, shares, background)
    images = [_image(grid, array) for grid, array in zip(grids, arrays, strict=True)]
    masks, left_out = (
        [None if share is None else _image(grid, share) for grid, share in zip(grids, parts, strict=True)]
        for parts in (shares, lesions)
    )
    weights = [array if share is None else share for array, share in zip(arrays, shares, strict=True)]
    centers = [_centroid(grid, weight) for grid, weight in zip(grids, weights, strict=True)]
    dimension = images[0].GetDimension()
    ratio = _size_ratio(sides[0], sides[1], dimension) if scale_free else 1.0
    return Scene(
        fixed=images[0],
        moving=images[1],
        fixed_mask=masks[0],
        moving_mask=masks[1],
        fixed_lesions=left_out[0],
        moving_lesions=left_out[1],
        background=background,
        scale_free=scale_free,
        shaded=dimension == 3 and fixed.image.units is Units.INTENSITY,
        size_ratio=ratio,
        fixed_side=sides[0],
        moving_side=sides[1],
        fixed_frame=sides[0].frame,
        moving_frame=sides[1].frame,
        fixed_center=centers[0][:dimension],
        moving_center=centers[1][:dimension],
    )


def _windows(fixed: Side, moving: Side) -> tuple[tuple[tuple[float, float], tuple[float, float]], float]:
    """Intensity window of each scan, and the end of it (0 or 1) that stands outside the organ."""
    values = [fixed.values(), moving.values()]
    pooled = np.concatenate(values)
    masked = fixed.organ is not None
    units = fixed.volume.units
    if units is Units.HU and masked and np.percentile(pooled, 10) < _AIR_FILLED_BELOW_HU:
        return (AIR_FILLED_WINDOW_HU, AIR_FILLED_WINDOW_HU), 1.0
    if units is Units.INTENSITY:
        first, second = (robust_window(numbers) for numbers in values)
    else:
        first = second = robust_window(pooled)
    low, high = robust_window(pooled)
    dark = masked and float(np.median(pooled)) < (low + high) / 2
    return (first, second), 1.0 if dark else 0.0


def robust_window(values: NDArray[np.float64]) -> tuple[float, float]:
    """All but the outer half percent of values on either side; their whole range where that is a single value."""
    low, high = np.percentile(values, _ROBUST_PERCENTILES)
    return (float(low), float(high)) if high > low else (float(values.min()), float(values.max()))


def _working_grid(side: Side, spacing_mm: float, scale_free: bool) -> Volume:
    """An empty grid along the scan's axes around the organ; its origin, in 1/64 mm, is exact in any file."""
    volume, (low, high) = side.volume, side.box()
    steps = np.asarray(volume.grid_spacing)
    flat = np.asarray(volume.shape) == 1
    margin = SCALE_FREE_MARGIN * side.extent if scale_free else MARGIN_MM
    margin = 0.0 if side.organ is None else margin
    wanted = side.extent / SCALE_FREE_PIXELS if scale_free else spacing_mm
    voxel = np.where(flat, steps, max(wanted, float(steps[~flat].min())))
    length = (high - low) * steps + np.where(flat, 0.0, 2 * margin)
    shape = np.where(flat, 1, np.maximum(1, np.ceil(length / voxel - 1e-6))).astype(int)
    middle = volume.to_world(((low + high) / 2)[None])[0]
    affine = np.eye(4)
    affine[:3, :3] = volume.direction * voxel
    corner = middle - affine[:3, :3] @ ((shape - 1) / 2)
    affine[:3, 3] = np.where(flat, corner, np.round(corner * 64) / 64)
    return Volume(np.broadcast_to(np.float32(0), shape.tolist()), affine, volume.units)


def _on_scale(side: Side, grid: Volume, window: tuple[float, float]) -> NDArray[np.float32]:
    low, high = window
    floats = side.volume.with_array(side.volume.array.astype(np.float32))
    moved = resample(clamp(floats, low, high), like=grid, order=1, fill=low).array
    scaled: NDArray[np.float32] = ((moved - low) * (INTENSITY_SCALE / (high - low))).astype(np.float32)
    return scaled


def _share(mask: NDArray[np.bool_] | None, side: Side, grid: Volume) -> NDArray[np.float32] | None:
    """Share of each working voxel that a mask of the side covers, 0 … 1."""
    if mask is None:
        return None
    native = Volume(mask.astype(np.float32), side.volume.affine, Units.INTENSITY)
    share: NDArray[np.float32] = resample(native, like=grid, order=1, fill=0.0).array.astype(np.float32)
    return share


def _sound(
    array: NDArray[np.float32], organ: NDArray[np.float32] | None, lesions: NDArray[np.float32] | None, grid: Volume
) -> NDArray[np.float32]:
    if lesions is None:
        return array
    inside = np.ones(array.shape, bool) if organ is None else organ > _HALF
    return without_lesions(array, inside, lesions > 0, np.asarray(grid.grid_spacing))


def _organ_only(
    arrays: list[NDArray[np.float32]], shares: list[NDArray[np.float32] | None], background: float
) -> list[NDArray[np.float32]]:
    """Blank what lies outside the organ, grown by a voxel; bring the moving organ's median to the fixed one's.

    The median carries the density change of breathing, which intensity differences would take for motion.
    """
    inside = [np.asarray(share) > 0.5 for share in shares]
    fixed, moving = (np.median(array[mask]) if mask.any() else 0.0 for array, mask in zip(arrays, inside, strict=True))
    shifted = np.clip(arrays[1] + np.float32(fixed - moving), 0.0, INTENSITY_SCALE)
    matched = [arrays[0], np.where(inside[1], shifted, arrays[1])]
    grown = [ndimage.binary_dilation(mask, np.ones([1 if n == 1 else 3 for n in mask.shape])) for mask in inside]
    return [
        np.where(mask, array, np.float32(background)).astype(np.float32)
        for mask, array in zip(grown, matched, strict=True)
    ]


def _image(grid: Volume, array: NDArray[np.float32]) -> sitk.Image:
    image = to_sitk(Volume(array, grid.affine, Units.INTENSITY))
    return image[:, :, 0] if grid.shape[2] == 1 else image


def _centroid(grid: Volume, weight: NDArray[np.float32]) -> NDArray[np.float64]:
    total = float(weight.sum(dtype=np.float64))
    middle = ndimage.center_of_mass(weight.astype(np.float64)) if total > 0 else (np.asarray(grid.shape) - 1) / 2
    center: NDArray[np.float64] = grid.to_world(np.asarray(middle, dtype=np.float64)[None])[0]
    return center


def _size_ratio(fixed: Side, moving: Side, dimension: int) -> float:
    """Ratio of the organs' linear sizes (of the images' without masks), each in its own unit."""
    sizes = []
    for side in (fixed, moving):
        voxels = side.volume.array.size if side.organ is None else int(side.organ.sum())
        sizes.append(voxels * float(np.prod(side.volume.grid_spacing[:dimension])))
    return float((sizes[1] / sizes[0]) ** (1 / dimension))
