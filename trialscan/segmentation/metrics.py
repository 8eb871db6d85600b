"""How well two masks agree: overlap, surface distance and volume, with defined answers for empty masks."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.errors import GeometryError
from trialscan.imaging import Volume

SURFACE_TOLERANCE_MM = 2.0


def compare_masks(predicted: Volume, reference: Volume) -> dict[str, float | None]:
    """Compare two masks on one grid; any positive label is foreground.

    Returns
    -------
    `dice`, `jaccard`; `hd95_mm` (the larger of the two directed 95th percentiles of surface distance),
    `surface_dice_2mm` (share of both surfaces within 2 mm of the other, Nikolov et al. 2018); `predicted_ml`,
    `reference_ml`, `difference_ml` and `difference_percent` (predicted − reference, in percent of the reference);
    `hd95_pixels`, `predicted_voxels`, `reference_voxels`.

    Both masks empty: overlap and surface Dice are 1, distances 0, the difference 0 %. One empty: overlap and surface
    Dice are 0, distances None; the percentage is None when the reference is the empty one. Millimetres are None
    where the spacing is unknown, millilitres also for planar images.

    Raises
    ------
    GeometryError
        The masks lie on different grids.
    """
    if not predicted.same_grid(reference):
        raise GeometryError(
            "comparison",
            f"a mask of shape {predicted.shape}",
            f"the reference's grid of shape {reference.shape}",
            "Compare masks on one grid.",
        )
    first, second = predicted.array > 0, reference.array > 0
    in_mm = predicted.spacing_known and reference.spacing_known
    distances = _surface_distances(first, second, reference.grid_spacing)
    both_empty = not first.any() and not second.any()
    hd95 = 0.0 if both_empty else _hd95(*distances)
    surface_dice = 1.0 if both_empty else _surface_dice(*distances)
    both, n_first, n_second = (int(mask.sum()) for mask in (first & second, first, second))
    union = n_first + n_second - both
    return {
        "dice": 2.0 * both / (n_first + n_second) if union else 1.0,
        "jaccard": both / union if union else 1.0,
        "hd95_mm": hd95 if in_mm else None,
        "surface_dice_2mm": surface_dice if in_mm else None,
        **_volumes(n_first, n_second, reference.voxel_ml if in_mm and not reference.is_planar else None),
        "hd95_pixels": None if in_mm else hd95,
    }


def _volumes(predicted: int, reference: int, voxel_ml: float | None) -> dict[str, float | None]:
    percent = 100.0 * (predicted - reference) / reference if reference else (None if predicted else 0.0)
    return {
        "predicted_ml": None if voxel_ml is None else predicted * voxel_ml,
        "reference_ml": None if voxel_ml is None else reference * voxel_ml,
        "difference_ml": None if voxel_ml is None else (predicted - reference) * voxel_ml,
        "difference_percent": percent,
        "predicted_voxels": float(predicted),
        "reference_voxels": float(reference),
    }


def _surface_distances(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances of each mask's surface voxels to the other's surface; empty arrays for an empty mask."""
    if not first.any() or not second.any():
        return np.empty(0), np.empty(0)
    box = tuple(slice(max(0, a.min() - 1), a.max() + 2) for a in np.nonzero(first | second))
    first_surface, second_surface = _surface(first[box]), _surface(second[box])
    to_second = ndimage.distance_transform_edt(~second_surface, sampling=spacing)[first_surface]
    to_first = ndimage.distance_transform_edt(~first_surface, sampling=spacing)[second_surface]
    return to_second, to_first


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Foreground voxels with a background voxel, or the array's border, across a face."""
    axes = [axis for axis in range(3) if mask.shape[axis] > 1]
    cross = np.zeros((3, 3, 3), dtype=bool)
    cross[1, 1, 1] = True
    for axis in axes:
        cross[tuple(slice(None) if a == axis else 1 for a in range(3))] = True
    surface: NDArray[np.bool_] = mask & ~ndimage.binary_erosion(mask, cross)
    return surface


def _hd95(to_reference: NDArray[np.float64], to_predicted: NDArray[np.float64]) -> float | None:
    if to_reference.size == 0:
        return None
    return float(max(np.percentile(to_reference, 95), np.percentile(to_predicted, 95)))


def _surface_dice(to_reference: NDArray[np.float64], to_predicted: NDArray[np.float64]) -> float:
    total = to_reference.size + to_predicted.size
    within = (to_reference <= SURFACE_TOLERANCE_MM).sum() + (to_predicted <= SURFACE_TOLERANCE_MM).sum()
    return float(within / total) if total else 0.0
