"""The one image type of the project: an array, where it lies in the patient, and what its numbers mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import GeometryError, ImagingError


class Units(StrEnum):
    """What a voxel's number means."""

    HU = "HU"
    SUV = "SUV"
    INTENSITY = "intensity"
    LABEL = "label"


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan or a mask on its own grid; valid once constructed.

    Parameters
    ----------
    array : shape (i, j, k); a planar image (radiograph, single slice, ultrasound frame) has k = 1.
    affine : 4×4 float64, maps homogeneous indices (i, j, k, 1) to world millimetres in LPS
        (x to the patient's Left, y Posterior, z Superior).
    units : what the numbers mean; `LABEL` requires an integer array.
    spacing_known : False for files that carry no millimetres (PNG, JPEG). The affine then counts pixels, and
        whatever would be a millimetre or a millilitre refuses.
    metadata : facts from the header that a quality check or a table uses (for instance ``manufacturer``).

    Raises
    ------
    ImagingError
        The array is not three-dimensional, is empty, or does not suit its units.
    GeometryError
        The affine is not 4×4, not finite or not invertible.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    units: Units
    spacing_known: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check everything that later code relies on."""
        if self.array.ndim != 3 or self.array.size == 0:
            raise ImagingError("volume", f"array of shape {self.array.shape}", "three non-empty axes (i, j, k)")
        if self.units is Units.LABEL and not np.issubdtype(self.array.dtype, np.integer):
            raise ImagingError("volume", f"labels of type {self.array.dtype}", "an integer type")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(
                "volume", f"affine of shape {affine.shape}, finite: {np.isfinite(affine).all()}", "4×4 finite numbers"
            )
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9 or not np.array_equal(affine[3], [0, 0, 0, 1]):
            raise GeometryError(
                "volume", "an affine that cannot be inverted", "three independent axes and a last row 0 0 0 1"
            )
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j and k."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def is_planar(self) -> bool:
        """True for an image of a single slice."""
        return self.shape[2] == 1

    @property
    def grid_spacing(self) -> tuple[float, float, float]:
        """Length of a voxel's edges in the affine's own unit: millimetres, or pixels when spacing is unknown."""
        a, b, c = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(a), float(b), float(c)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel edges along i, j, k in mm; raises GeometryError when the spacing is unknown."""
        self._require_spacing("millimetres")
        return self.grid_spacing

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml; raises GeometryError when the spacing is unknown or the image is planar."""
        self._require_spacing("millilitres")
        if self.is_planar:
            raise GeometryError(
                "volume", "a planar image", "a volume to measure millilitres in", "Use fractions or areas."
            )
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def direction(self) -> NDArray[np.float64]:
        """3×3 matrix whose columns are the unit vectors of i, j and k in LPS."""
        matrix: NDArray[np.float64] = self.affine[:3, :3] / np.asarray(self.grid_spacing)
        return matrix

    def with_array(self, array: NDArray[Any], units: Units | None = None) -> Self:
        """The same grid holding other numbers of the same shape."""
        if array.shape != self.array.shape:
            raise GeometryError("volume", f"an array of shape {array.shape}", f"the grid's {self.array.shape}")
        return replace(self, array=array, units=self.units if units is None else units)

    def same_grid(self, other: "Volume", tolerance_mm: float = 0.01) -> bool:
        """Whether both hold the same voxels: equal shapes, and corners that agree within the tolerance."""
        if self.shape != other.shape:
            return False
        corners = np.array(
            [[i, j, k, 1] for i in (0, self.shape[0]) for j in (0, self.shape[1]) for k in (0, self.shape[2])]
        )
        gap = corners @ (self.affine - other.affine).T
        return float(np.abs(gap).max()) <= tolerance_mm

    def to_world(self, indices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) continuous indices to (n, 3) LPS millimetres."""
        world: NDArray[np.float64] = indices @ self.affine[:3, :3].T + self.affine[:3, 3]
        return world

    def to_index(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) LPS millimetres to (n, 3) continuous indices."""
        return (points - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    def _require_spacing(self, wanted: str) -> None:
        if not self.spacing_known:
            raise GeometryError(
                "volume", "an image without pixel spacing", f"known spacing to give {wanted}", "Use fractions instead."
            )


def affine_from(
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    direction: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Affine (4×4, LPS mm) from voxel spacing, position of voxel (0, 0, 0) and direction columns (identity if None)."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if direction is None else direction) * np.asarray(spacing)
    affine[:3, 3] = origin
    return affine
