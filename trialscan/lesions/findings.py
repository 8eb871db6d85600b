"""What is found in one scan: lesions as objects, and the burden they add up to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trialscan.imaging import Volume


@dataclass(frozen=True)
class Lesion:
    """One connected lesion, measured on the grid it was segmented on.

    Attributes
    ----------
    number : its label in `Findings.labels`; 1 is the largest.
    class_name : the class that most of its voxels have (the lower class number on a tie).
    voxel_count, class_voxels : voxels in all and of each class.
    volume_ml, class_ml : None where the image is planar or its spacing unknown.
    area_mm2 : of a planar image with known spacing; None otherwise.
    organ_percent : share of the organ (see `Burden`); None without an organ.
    longest_diameter_mm : largest distance between two points of the lesion, in any direction.
    slice_diameter_mm, slice_perpendicular_mm : the largest distance within one slice of the acquisition, and the
        lesion's width at right angles to it in that slice.
    mean_intensity, sd_intensity : in the image's units, over finite voxels; None when there are none.
    centroid : mean position of its voxel centres (x, y, z) in LPS; see `centroid_unit`.
    centroid_unit : "mm", or "pixel" when the spacing is unknown.
    bounding_box : half-open index ranges along i, j and k.
    touches_border : whether it reaches the edge of the scanned field, so that part of it may lie outside.
        The slice axis of a planar image does not count.
    perpendicular_diameter_mm : the lesion's greatest width at right angles to the longest diameter, in space.
    intensity_p10, intensity_p50, intensity_p90 : percentiles, over finite voxels.
    mass_g : of CT, where a voxel of h HU weighs (h + 1000) / 1000 g a ml, and no less than nothing.
    surface_distance_mm : least distance to the organ's border, 0 where it reaches it; None without organ or spacing.
    mean_probability : the model's probability of lesion, on average over its voxels; None where a reader outlined it.
    side : "left" or "right" of the patient where the organ is a pair; empty where that is not sure.
    """

    number: int
    class_name: str
    voxel_count: int
    class_voxels: Mapping[str, int]
    volume_ml: float | None
    class_ml: Mapping[str, float | None]
    area_mm2: float | None
    organ_percent: float | None
    longest_diameter_mm: float | None
    slice_diameter_mm: float | None
    slice_perpendicular_mm: float | None
    mean_intensity: float | None
    sd_intensity: float | None
    centroid: tuple[float, float, float]
    centroid_unit: Literal["mm", "pixel"]
    bounding_box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    touches_border: bool
    perpendicular_diameter_mm: float | None = None
    intensity_p10: float | None = None
    intensity_p50: float | None = None
    intensity_p90: float | None = None
    mass_g: float | None = None
    surface_distance_mm: float | None = None
    side: str = ""
    mean_probability: float | None = None


@dataclass(frozen=True)
class Burden:
    """The whole of a scan's lesions; None where a quantity is unknown.

    The burden is the voxels of the listed lesions and of no others, so that the lesions add up to it. What fell below
    the protocol's minimum is stated as `dropped`. The organ is its mask united with the listed lesions, because a
    segmentation often leaves dense disease out of the organ; percentages are of that union and never exceed 100.
    An empty organ mask measures 0 ml and gives no percentage.
    """

    burden_ml: float | None
    organ_ml: float | None
    burden_percent: float | None
    class_ml: Mapping[str, float | None]
    class_percent: Mapping[str, float | None]
    lesion_count: int
    dropped_count: int
    dropped_voxels: int
    dropped_ml: float | None


@dataclass(frozen=True, eq=False)
class Findings:
    """The lesions of one scan.

    labels : on the native grid, 0 none, n lesion n.
    dropped : (m, 3) indices of the voxels outlined as lesion but in spots below the minimum size.
    doubtful : (m, 3) indices of the voxels of spots, as large as a lesion must be, in which the model's probability
        reaches a quarter, but not enough to be outlined; none where a reader outlined the lesions.
    """

    labels: Volume
    lesions: tuple[Lesion, ...]
    burden: Burden
    dropped: NDArray[np.float64]
    doubtful: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
