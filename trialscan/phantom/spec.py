"""What a simulated thorax is made of: anatomy, scanner and field of view, each drawn strongly at random by seed.

Reference coordinates are LPS millimetres with x = 0 in the midline, y = 0 half-way between breastbone and spine, and
z = 0 at the level of the lung hila; they describe the patient at zero breathing, lying straight.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from trialscan.errors import UsageError


@dataclass(frozen=True)
class ThoraxSpec:
    """Anatomy of one patient in reference coordinates; lengths in mm, radiodensity in HU.

    `anatomy_seed` draws what has no name of its own: wobble of the surfaces, course of the vessels, texture.
    """

    half_width: float = 138.0
    half_depth: float = 98.0
    apex_z: float = 118.0
    base_z: float = -108.0
    squareness: float = 2.2
    egg: float = 0.08
    apex_taper: float = 0.80
    apex_shift: float = 26.0
    front_slope: float = 0.14
    dome_height: float = 62.0
    left_dome_drop: float = 12.0
    dome_tilt: float = 0.28
    mediastinum_half_width: float = 27.0
    heart_center: tuple[float, float, float] = (24.0, -30.0, -48.0)
    heart_axes: tuple[float, float, float] = (58.0, 44.0, 50.0)
    heart_turn_deg: float = 28.0
    spine_offset: float = -10.0
    rib_pitch: float = 25.0
    rib_slope: float = 0.38
    rib_phase: float = 0.0
    wall_mm: float = 12.0
    muscle_mm: float = 12.0
    fat_mm: float = 14.0
    breast_mm: float = 0.0
    shoulder_mm: float = 45.0
    arms_down: bool = False
    lung_hu: float = -865.0
    gravity_hu: float = 60.0
    texture_hu: float = 22.0
    emphysema: float = 0.0
    blood_hu: float = 45.0
    muscle_hu: float = 52.0
    fat_hu: float = -100.0
    bone_hu: float = 480.0
    vessel_density: float = 1.0
    anatomy_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse anatomies whose surfaces would cross."""
        if self.half_width < 80 or self.half_depth < 55 or self.apex_z - self.base_z < 120:
            raise UsageError("thorax", "a thorax too small to hold two lungs", "an adult's half axes and height")

    @classmethod
    def random(cls, rng: np.random.Generator) -> Self:
        """Draw an adult: size, shape, fat, heart, lung density, contrast medium and bones all vary."""
        size = rng.uniform(0.86, 1.1)
        width = size * rng.uniform(126, 146)
        base, dome = -size * rng.uniform(88, 128), size * rng.uniform(42, 76)
        heart = size * rng.uniform(0.85, 1.2)
        contrast = rng.uniform(100, 320) if rng.random() < 0.35 else 0.0
        thin = rng.random()
        return cls(
            half_width=width,
            half_depth=width * rng.uniform(0.64, 0.80),
            apex_z=size * rng.uniform(104, 130),
            base_z=base,
            squareness=rng.uniform(1.95, 2.5),
            egg=rng.uniform(0.0, 0.18),
            apex_taper=rng.uniform(0.6, 0.95),
            apex_shift=rng.uniform(14, 36),
            front_slope=rng.uniform(0.05, 0.2),
            dome_height=dome,
            left_dome_drop=rng.uniform(-2, 22),
            dome_tilt=rng.uniform(0.1, 0.45),
            mediastinum_half_width=rng.uniform(21, 33),
            heart_center=(rng.uniform(14, 32), rng.uniform(-40, -20), base + 0.9 * dome + heart * rng.uniform(24, 36)),
            heart_axes=(heart * rng.uniform(50, 64), heart * rng.uniform(38, 50), heart * rng.uniform(42, 54)),
            heart_turn_deg=rng.uniform(15, 42),
            spine_offset=rng.uniform(-16, -4),
            rib_pitch=size * rng.uniform(22, 28),
            rib_slope=rng.uniform(0.25, 0.5),
            rib_phase=rng.uniform(0, 1),
            wall_mm=rng.uniform(9.5, 14),
            muscle_mm=rng.uniform(6, 22),
            fat_mm=4 + 32 * thin**2,
            breast_mm=rng.uniform(10, 40) if rng.random() < 0.45 else 0.0,
            shoulder_mm=rng.uniform(25, 70),
            arms_down=bool(rng.random() < 0.25),
            lung_hu=rng.uniform(-968, -770),
            gravity_hu=rng.uniform(15, 110),
            texture_hu=rng.uniform(10, 35),
            emphysema=rng.uniform(0.2, 1.0) if rng.random() < 0.25 else 0.0,
            blood_hu=rng.uniform(35, 55) + contrast,
            muscle_hu=rng.uniform(40, 62),
            fat_hu=rng.uniform(-115, -85),
            bone_hu=rng.uniform(320, 700),
            vessel_density=rng.uniform(0.6, 1.4),
            anatomy_seed=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class ScannerSpec:
    """How the scanner shows the thorax.

    Parameters
    ----------
    noise_hu : standard deviation of the noise in soft tissue, HU.
    noise_grain_mm : correlation length of the noise within a slice (sharp kernels near 0.6, smooth ones near 2).
    blur_mm : standard deviation of the kernel's point spread within a slice.
    sharpening : gain of the unsharp mask of edge-enhancing kernels; 0 for none.
    slice_thickness_mm : width of the slice profile along z; no effect when thinner than the grid.
    offset_hu, gain : calibration error; the scale is about air.
    field_radius_mm : radius of the circle outside which the scanner writes `padding_hu`; None for no circle.
    padding_hu : also the least number that the scanner can write.
    couch : whether the table is in the picture.
    """

    noise_hu: float = 20.0
    noise_grain_mm: float = 1.2
    blur_mm: float = 0.8
    sharpening: float = 0.0
    slice_thickness_mm: float = 1.0
    offset_hu: float = 0.0
    gain: float = 1.0
    field_radius_mm: float | None = None
    padding_hu: float = -2048.0
    couch: bool = True

    @classmethod
    def random(cls, rng: np.random.Generator) -> Self:
        """Draw a scanner: from quiet and smooth to noisy and edge-enhancing, thin slices and thick."""
        sharp = rng.random()
        return cls(
            noise_hu=float(np.exp(rng.uniform(np.log(6), np.log(60)))),
            noise_grain_mm=2.2 - 1.6 * sharp,
            blur_mm=1.6 - 1.2 * sharp + rng.uniform(0, 0.3),
            sharpening=rng.uniform(0.2, 1.0) if sharp > 0.65 else 0.0,
            slice_thickness_mm=rng.choice([1.0, 1.25, 2.5, 3.0, 5.0]),
            offset_hu=rng.normal(0, 12),
            gain=rng.normal(1, 0.015),
            field_radius_mm=rng.uniform(160, 230) if rng.random() < 0.35 else None,
            padding_hu=-2048.0 if rng.random() < 0.6 else -1024.0,
            couch=bool(rng.random() < 0.8),
        )


@dataclass(frozen=True)
class LesionSpec:
    """One lesion at one visit.

    Parameters
    ----------
    lesion_id : positive label in the instance mask.
    kind : ``ground_glass``, ``consolidation``, or ``mixed`` (a consolidated core within ground glass).
    center_mm : (x, y, z) in reference coordinates.
    radius_mm : radius of the ball that the irregular shape is made from.
    shape_seed : draws the irregular outline; the same over all visits of a lesion.
    flattening : 0 for a round lesion, up to 3 for one that spreads along the pleura.
    density : 0 … 1 from the faintest to the densest of its kind.
    """

    lesion_id: int
    kind: str
    center_mm: tuple[float, float, float]
    radius_mm: float
    shape_seed: int = 0
    flattening: float = 1.0
    density: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.lesion_id < 1 or not self.radius_mm > 0:
            raise UsageError(
                f"lesion {self.lesion_id}", f"radius {self.radius_mm} mm", "a positive identity and a positive radius"
            )
        if self.kind not in LESION_KINDS:
            raise UsageError(f"lesion {self.lesion_id}", f"kind {self.kind!r}", ", ".join(LESION_KINDS))


LESION_KINDS = ("ground_glass", "consolidation", "mixed")
GROUND_GLASS, CONSOLIDATION = 1, 2


@dataclass(frozen=True)
class Grid:
    """Where a scan lies: voxels along i, j, k, their spacing, and voxel (0, 0, 0) in LPS mm; axes along L, P, S."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Refuse empty grids."""
        if min(self.shape) < 1 or not min(self.spacing_mm) > 0:
            raise UsageError("grid", f"shape {self.shape}, spacing {self.spacing_mm}", "positive numbers")

    @classmethod
    def spanning(
        cls, low: tuple[float, float, float], high: tuple[float, float, float], spacing_mm: tuple[float, float, float]
    ) -> Self:
        """The grid from one corner to the other, rounded up to whole voxels."""
        shape = tuple(int(np.ceil((b - a) / s)) for a, b, s in zip(low, high, spacing_mm, strict=True))
        return cls((shape[0], shape[1], shape[2]), spacing_mm, low)

    def axes(self) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
        """Voxel centres along each axis, float32 mm."""
        x, y, z = (
            (o + s * np.arange(n)).astype(np.float32)
            for n, s, o in zip(self.shape, self.spacing_mm, self.origin_mm, strict=True)
        )
        return x, y, z
