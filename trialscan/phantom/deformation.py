"""The map between a patient's reference position and one scan: breathing, then a change of posture.

The pull-back (scan → reference) is a composition of maps in closed form, so an image is drawn without any
interpolation; the push-forward inverts the only implicit one, a shear along z, by Newton's method.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trialscan.errors import UsageError

NEWTON_STEPS = 12


@dataclass(frozen=True)
class Deformation:
    """Breathing and posture of one scan; all lengths in mm, all coordinates LPS.

    Parameters
    ----------
    breathing : -1 (deep expiration) … 1 (deep inspiration); 0 is the reference.
    diaphragm_mm : how far the middle of the diaphragm descends at breathing 1.
    widening, deepening : relative expansion of the chest, sideways and forward, at breathing 1.
    rotation_deg : extrinsic x, y, z angles of the posture.
    shift_mm : displacement of the posture.
    """

    breathing: float = 0.0
    diaphragm_mm: float = 24.0
    widening: float = 0.03
    deepening: float = 0.06
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    level_mm: float = -40.0
    softness_mm: float = 32.0
    spine_mm: float = 85.0

    def __post_init__(self) -> None:
        """Refuse breathing that would fold space."""
        if abs(self.breathing) > 1.5 or abs(self.breathing * self.diaphragm_mm) > 2.0 * self.softness_mm:
            raise UsageError("deformation", f"breathing {self.breathing} of {self.diaphragm_mm} mm", "a smooth motion")

    def to_reference(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) LPS mm of this scan to reference LPS mm, in closed form."""
        x, y, z = self.pull_back(*np.asarray(points, dtype=np.float64).T)
        return np.stack([x, y, z], axis=1)

    def to_scan(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) reference LPS mm to LPS mm of this scan; exact to better than 1e-6 mm."""
        x, y, reference_z = np.asarray(points, dtype=np.float64).T
        shear = self.breathing * self.diaphragm_mm * self._reach(x, y)
        z = reference_z.copy()
        for _ in range(NEWTON_STEPS):
            fall = self._fall(z)
            slope = 1 - shear * fall * (1 - fall) / self.softness_mm
            z -= (z + shear * fall - reference_z) / slope
        wide, deep = self._expansion(z)
        moved = np.stack([x * wide, self.spine_mm + (y - self.spine_mm) * deep, z], axis=1)
        turned: NDArray[np.float64] = self._rotation().apply(moved) + np.asarray(self.shift_mm)
        return turned

    def pull_back(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Scan coordinates to reference coordinates, arrays that broadcast together; keeps their precision."""
        matrix = self._rotation().inv().as_matrix().astype(np.result_type(x))
        dx, dy, dz = (c - np.asarray(t, dtype=matrix.dtype) for c, t in zip((x, y, z), self.shift_mm, strict=True))
        px, py, pz = (row[0] * dx + row[1] * dy + row[2] * dz for row in matrix)
        wide, deep = self._expansion(pz)
        px = px / wide
        py = self.spine_mm + (py - self.spine_mm) / deep
        pz = pz + self.breathing * self.diaphragm_mm * self._reach(px, py) * self._fall(pz)
        return px, py, pz

    def parameters(self) -> Mapping[str, Any]:
        """Everything that defines the map, ready for JSON."""
        return asdict(self)

    def _rotation(self) -> Rotation:
        return Rotation.from_euler("xyz", self.rotation_deg, degrees=True)

    def _fall(self, z: NDArray[Any]) -> NDArray[Any]:
        """Share of the diaphragm's motion at height z: 1 below it, 0 at the apex."""
        share: NDArray[Any] = 1 / (1 + np.exp((z - self.level_mm) / self.softness_mm))
        return share

    def _reach(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        """Share of the diaphragm's motion over the cross-section: 1 under the lungs, a third at the wall."""
        share: NDArray[Any] = 0.35 + 0.65 * np.exp(-((x / 130) ** 4) - ((y + 10) / 95) ** 4)
        return share

    def _expansion(self, z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Factors of width and depth at height z; the upper chest widens less than the lower."""
        share = self.breathing * (1 - 0.6 / (1 + np.exp(-(z - 40) / 40)))
        return 1 + self.widening * share, 1 + self.deepening * share
