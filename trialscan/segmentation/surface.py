"""Distances between the surfaces of two masks, each piece of surface weighted by its area.

The surface runs between voxel centres, as marching cubes would lay it: every corner at which voxels inside and outside
meet is one surface element, whose area follows from which of the eight voxels around it (four in a planar image, where
area is length) are inside. This is the definition of Nikolov et al. (arXiv 1809.04430; J Med Internet Res 2021; 23:
e26151) and of their package surface-distance; its table of areas is taken from MONAI. Counting voxels of the border
instead would weight each side of an anisotropic voxel alike.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Spacing from a float32 header makes 5 × 0.4 mm a trifle more than 2 mm: equal to a millionth is within.
_SLACK = 1e-6


@dataclass(frozen=True)
class SurfaceDistances:
    """Of each element of one surface, the distance to the nearest of the other's, and its own area.

    Distances are in the unit of the axes given, areas in its square (in planar images lengths, in the unit itself).
    Neither surface is empty.
    """

    to_reference: Floats
    predicted_area: Floats
    to_predicted: Floats
    reference_area: Floats

    def share_within(self, tolerance: float) -> float:
        """Surface Dice: the share of both surfaces' area that lies within the tolerance of the other."""
        limit = tolerance * (1 + _SLACK)
        near = self.predicted_area @ (self.to_reference <= limit) + self.reference_area @ (self.to_predicted <= limit)
        return float(near / self._total_area)

    def percentile(self, percent: float) -> float:
        """The larger of both directions' distances that this share of the surface stays within."""
        return max(
            _weighted_percentile(self.to_reference, self.predicted_area, percent),
            _weighted_percentile(self.to_predicted, self.reference_area, percent),
        )

    @property
    def mean(self) -> float:
        """The mean distance over both surfaces."""
        total = self.to_reference @ self.predicted_area + self.to_predicted @ self.reference_area
        return float(total / self._total_area)

    @property
    def _total_area(self) -> float:
        return float(self.predicted_area.sum() + self.reference_area.sum())


def surface_distances(predicted: Mask, reference: Mask, axes: Floats) -> SurfaceDistances:
    """Compare the surfaces of two masks that both hold a voxel; what lies outside the arrays is background.

    Parameters
    ----------
    predicted, reference : (i, j, k), or (i, j) for planar images. `axes` : 3×3 or 3×2, its columns the steps along
        the arrays' axes.
    """
    from monai.metrics.utils import get_code_to_measure_table  # noqa: PLC0415 - slow to load, see below

    codes, other_codes = _neighbour_codes(predicted), _neighbour_codes(reference)
    border, other_border = _is_border(codes), _is_border(other_codes)
    areas = (
        get_code_to_measure_table([float(step) for step in np.linalg.norm(axes, axis=0)])[0].numpy().astype(np.float64)
    )
    elements, other_elements = np.argwhere(border), np.argwhere(other_border)
    return SurfaceDistances(
        _nearest(elements, other_elements, other_border[border], axes),
        areas[codes[border]],
        _nearest(other_elements, elements, border[other_border], axes),
        areas[other_codes[other_border]],
    )


def _neighbour_codes(mask: Mask) -> NDArray[np.uint8]:
    """Which voxels around each corner are inside, as bits; one corner more than voxels along each axis."""
    from monai.metrics.utils import ENCODING_KERNEL  # noqa: PLC0415 - slow to load, and not needed to segment

    kernel = np.array(ENCODING_KERNEL[mask.ndim], np.uint8)
    codes = np.zeros([length + 1 for length in mask.shape], np.uint8)
    inside = mask.view(np.uint8)
    for offset, bit in np.ndenumerate(kernel):
        codes[tuple(slice(1 - o, 1 - o + n) for o, n in zip(offset, mask.shape, strict=True))] += inside * bit
    return codes


def _is_border(codes: NDArray[np.uint8]) -> Mask:
    border: Mask = (codes != 0) & (codes != 2 ** (2**codes.ndim) - 1)
    return border


def _nearest(elements: NDArray[Any], others: NDArray[Any], shared: Mask, axes: Floats) -> Floats:
    """Distances from corners (n, 2 or 3 indices) to the nearest of the others; `shared` marks those that are both."""
    distances = np.zeros(len(elements))
    apart = elements[~shared]
    if len(apart):
        tree = KDTree(others @ axes.T, balanced_tree=False, compact_nodes=False)
        _, nearest = tree.query(apart @ axes.T)
        distances[~shared] = np.linalg.norm((apart - others[nearest]) @ axes.T, axis=1)
    return distances


def _weighted_percentile(values: Floats, weights: Floats, percent: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = np.searchsorted(reached, reached[-1] * percent / 100.0 * (1 - 1e-12))
    return float(values[order[min(int(place), len(order) - 1)]])
