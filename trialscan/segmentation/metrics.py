"""How well two masks agree: overlap, surface distance and volume, with defined answers for empty masks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import GeometryError
from trialscan.imaging import Box, Volume, occupied_box
from trialscan.segmentation.surface import surface_distances

SURFACE_TOLERANCE_MM = 2.0
_HAUSDORFF_PERCENT = 95.0
Mask = NDArray[np.bool_]
NOTHING: Box = (slice(0, 1), slice(0, 1), slice(0, 1))


@dataclass(frozen=True)
class Grid:
    """What both masks of a comparison lie on: 3×3 steps along i, j, k, and the size of a voxel where it is known.

    A voxel's size is in ml, in planar images in mm²; both None where the spacing is unknown.
    """

    axes: NDArray[np.float64]
    origin: NDArray[np.float64]
    in_mm: bool
    planar: bool
    voxel_ml: float | None
    pixel_mm2: float | None


def common_grid(predicted: Volume, reference: Volume) -> Grid:
    """The grid of two masks; raises GeometryError when they lie on different ones."""
    if not predicted.same_grid(reference):
        raise GeometryError(
            "comparison",
            f"a mask of shape {predicted.shape}",
            f"the reference's grid of shape {reference.shape}",
            "Compare masks on one grid.",
        )
    in_mm, planar = predicted.spacing_known and reference.spacing_known, reference.is_planar
    axes = reference.affine[:3, :3]
    return Grid(
        axes,
        reference.affine[:3, 3],
        in_mm,
        planar,
        voxel_ml=reference.voxel_ml if in_mm and not planar else None,
        pixel_mm2=float(np.linalg.norm(np.cross(axes[:, 0], axes[:, 1]))) if in_mm and planar else None,
    )


def compare_masks(predicted: Volume, reference: Volume) -> dict[str, float | None]:
    """Compare two masks on one grid; any positive label is foreground.

    Returns
    -------
    `dice`, `jaccard`; `hd95_mm` (the larger of the two directed 95th percentiles of surface distance),
    `surface_dice_2mm` (share of both surfaces within 2 mm of the other) and `mean_surface_distance_mm` (over both
    surfaces), each piece of surface weighted by its area as in Nikolov et al.; `predicted_ml`, `reference_ml`,
    `difference_ml` and `difference_percent` (predicted − reference, in percent of the reference); `predicted_mm2` and
    `reference_mm2` of planar images; `predicted_voxels`, `reference_voxels`; `hd95_pixels` and
    `mean_surface_distance_pixels` where no millimetres are known.

    Both masks empty: overlap and surface Dice are 1, distances 0, the difference 0 %. One empty: overlap and surface
    Dice are 0, distances None; the percentage is None when the reference is the empty one. Millimetres are None
    where the spacing is unknown, millilitres also for planar images.

    Raises
    ------
    GeometryError
        The masks lie on different grids.
    """
    grid = common_grid(predicted, reference)
    first, second = predicted.array > 0, reference.array > 0
    box = occupied_box(first | second) or NOTHING
    return compare_crops(first[box], second[box], grid)


def compare_crops(predicted: Mask, reference: Mask, grid: Grid) -> dict[str, float | None]:
    """The same for two masks cut to any box that holds both."""
    both, n_first, n_second = (int(np.count_nonzero(mask)) for mask in (predicted & reference, predicted, reference))
    union = n_first + n_second - both
    hd95, surface_dice, mean = _surface_measures(predicted, reference, grid, n_first, n_second)
    return {
        "dice": 2.0 * both / (n_first + n_second) if union else 1.0,
        "jaccard": both / union if union else 1.0,
        "hd95_mm": hd95 if grid.in_mm else None,
        "surface_dice_2mm": surface_dice if grid.in_mm else None,
        "mean_surface_distance_mm": mean if grid.in_mm else None,
        **_volumes(n_first, n_second, grid),
        "hd95_pixels": None if grid.in_mm else hd95,
        "mean_surface_distance_pixels": None if grid.in_mm else mean,
    }


def _volumes(predicted: int, reference: int, grid: Grid) -> dict[str, float | None]:
    percent = 100.0 * (predicted - reference) / reference if reference else (None if predicted else 0.0)
    return {
        "predicted_ml": _sized(predicted, grid.voxel_ml),
        "reference_ml": _sized(reference, grid.voxel_ml),
        "difference_ml": _sized(predicted - reference, grid.voxel_ml),
        "difference_percent": percent,
        "predicted_mm2": _sized(predicted, grid.pixel_mm2),
        "reference_mm2": _sized(reference, grid.pixel_mm2),
        "predicted_voxels": float(predicted),
        "reference_voxels": float(reference),
    }


def _sized(voxels: int, voxel_size: float | None) -> float | None:
    return None if voxel_size is None else voxels * voxel_size


def _surface_measures(
    predicted: Mask, reference: Mask, grid: Grid, n_predicted: int, n_reference: int
) -> tuple[float | None, float, float | None]:
    """95th percentile, surface Dice and mean distance, in the unit of the axes."""
    if not n_predicted and not n_reference:
        return 0.0, 1.0, 0.0
    if not n_predicted or not n_reference:
        return None, 0.0, None
    if grid.planar:
        found = surface_distances(predicted[:, :, 0], reference[:, :, 0], grid.axes[:, :2])
    else:
        found = surface_distances(predicted, reference, grid.axes)
    return found.percentile(_HAUSDORFF_PERCENT), found.share_within(SURFACE_TOLERANCE_MM), found.mean
