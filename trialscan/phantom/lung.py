"""The lungs: their vessels, airways, fissures and texture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.phantom.anatomy import smooth_max, spine_y, surfaces
from trialscan.phantom.spec import ThoraxSpec
from trialscan.phantom.tissue import AIR_HU, Scene, blend, soft
from trialscan.phantom.tubes import Tubes, bend, coverage, grow_tree, join, polyline

Field = NDArray[Any]
LEFT, RIGHT = 1, 2
TEXTURE_LATTICE_MM = 6.0
LEAST_OPACITY_HU = 120.0


@dataclass(frozen=True)
class Plumbing:
    """Tubes of one patient in reference coordinates.

    great : vessels of the mediastinum, with the hilar parts that the lungs stop at.
    airway : trachea and main bronchi (lumen), outside the lungs.
    vessels, bronchi : what branches within the lungs.
    """

    great: Tubes
    airway: Tubes
    vessels: Tubes
    bronchi: Tubes


def lung_points(
    spec: ThoraxSpec, count: int, rng: np.random.Generator, *, depth_mm: float = 4.0
) -> NDArray[np.float64]:
    """Points spread evenly over both lungs, at least `depth_mm` from their surface; reference LPS mm, (count, 3)."""
    found: list[NDArray[np.float64]] = []
    while sum(map(len, found)) < count:
        low = (-spec.half_width, -spec.half_depth, spec.base_z - 40)
        points = rng.uniform(low, (spec.half_width, spec.half_depth, spec.apex_z), (4 * count + 200, 3))
        x, y, z = points.T
        found.append(points[surfaces(spec, x, y, z).lung < -depth_mm])
    return np.concatenate(found)[:count]


def plumbing(spec: ThoraxSpec) -> Plumbing:
    """Grow the airways and vessels of one patient."""
    rng = np.random.default_rng([spec.anatomy_seed, 3])
    spine = float(spine_y(spec, np.array(20.0)))
    trees, bronchi = [], []
    hila = {side: np.array([side * (spec.mediastinum_half_width + 12.0), 10.0, 4.0 * side + 2.0]) for side in (-1, 1)}
    tips = lung_points(spec, int(1900 * spec.vessel_density), rng, depth_mm=3.0)
    for side, hilum in hila.items():
        mine = tips[np.sign(tips[:, 0]) == side]
        half = len(mine) // 2
        for part, shift in ((mine[:half], (0.0, -6.0, 6.0)), (mine[half:], (0.0, 4.0, -14.0))):
            trees.append(
                bend(
                    grow_tree(hilum + shift, part, tip_radius=rng.uniform(0.45, 0.72), murray=rng.uniform(2.25, 2.6)),
                    rng,
                )
            )
        near = mine[np.linalg.norm(mine - hilum, axis=1) < 62][:26]
        bronchi.append(bend(grow_tree(hilum + np.array([0.0, 3.0, -2.0]), near, tip_radius=0.8, murray=2.8), rng))
    return Plumbing(_great_vessels(spec, spine, hila), _trachea(spec, spine, hila), join(*trees), join(*bronchi))


def _trachea(spec: ThoraxSpec, spine: float, hila: dict[int, Field]) -> Tubes:
    """Trachea, its fork above the hila, and the main bronchi."""
    fork = (0.0, spine - 62, 38.0)
    trunk = polyline([(0.0, spine - 70, spec.apex_z + 70), (0.0, spine - 66, 80.0), fork], [8.5, 8.0, 8.0])
    sides = [
        polyline([fork, (side * 20.0, 8.0, 22.0), (float(h[0]), 12.0, float(h[2]))], [7.5, 6.5, 5.0])
        for side, h in hila.items()
    ]
    return join(trunk, *sides)


def _great_vessels(spec: ThoraxSpec, spine: float, hila: dict[int, Field]) -> Tubes:
    """Aorta, caval vein, pulmonary trunk, neck vessels, and the bundle of vessels at each hilum."""
    top = spec.apex_z
    aorta = polyline(
        [(-6, -22, -20), (-14, -26, 20), (-8, -24, 46), (10, spine - 60, 60), (20, spine - 30, 48),
         (22, spine - 24, 10), (20, spine - 26, -60), (10, spine - 28, spec.base_z - 60)],
        [16, 16, 15, 14, 13, 12.5, 12, 11],
    )  # fmt: skip
    cava = polyline([(-24, -14, -30), (-22, -16, 40), (-19, -14, 80), (-26, -8, top + 30)], [10, 9, 8, 6])
    trunk = polyline([(14, -32, -10), (16, -20, 14), (4, 0, 16)], [14, 13, 11])
    neck = [polyline([(a, -14, 56), (a * 1.6, -6, 90), (a * 2.4, 0, top + 60)], [6, 5, 4.5]) for a in (-14, 5, 16)]
    roots = [
        polyline([(4.0 * side, 0.0, 16.0), tuple(h - (9.0 * side, 4, -4)), tuple(h)], [11, 10, 7])
        for side, h in hila.items()
    ]
    veins = [polyline([(16.0 * side, 10, -22), tuple(h - np.array([0, 0, 16]))], [9, 6.5]) for side, h in hila.items()]
    return join(aorta, cava, trunk, *neck, *roots, *veins)


def hilum_cut(lung: Field, scene: Scene, tubes: Plumbing) -> Field:
    """Signed distance to the lungs once the great vessels, main bronchi and hila have taken their part."""
    outer = join(tubes.great.thicker(2.5), tubes.airway.thicker(3.5)).moved(scene.deformation)
    taken = coverage(outer, scene.grid)
    taken = ndimage.gaussian_filter(taken, [2.2 / s for s in scene.grid.spacing_mm], truncate=2.5)
    return smooth_max(lung, (taken - np.float32(0.45)) * 12, 2.0)


def lung_labels(lung: Field, x: Field) -> NDArray[np.uint8]:
    """Label mask of the lungs: 1 left (patient's left, +x), 2 right."""
    return np.where(lung < 0, np.where(x > 0, LEFT, RIGHT), 0).astype(np.uint8)


def texture(spec: ThoraxSpec, points: tuple[Field, Field, Field], stream: int, grain: float) -> Field:
    """Smooth unit-variance texture fixed in the patient: lattice noise of `grain` lattice steps, sampled at points."""
    rng = np.random.default_rng([spec.anatomy_seed, stream])
    shape = tuple(int(2 * half / TEXTURE_LATTICE_MM) for half in (180, 150, 210))
    lattice = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), grain, mode="wrap")
    lattice /= lattice.std()
    index = [c / np.float32(TEXTURE_LATTICE_MM) + np.float32(n / 2) for c, n in zip(points, shape, strict=True)]
    sampled: Field = ndimage.map_coordinates(lattice, index, order=1, mode="grid-wrap")
    return sampled


def parenchyma(scene: Scene, inside: NDArray[np.bool_], rng: np.random.Generator) -> Field:
    """HU of lung tissue without vessels at the voxels of `inside`: gradient, texture, emphysema, fissures."""
    spec = scene.spec
    x, y, z = scene.x[inside], scene.y[inside], scene.z[inside]
    stretch = np.float32(-18 * scene.deformation.breathing)
    hu = (
        np.float32(spec.lung_hu)
        + stretch
        + np.float32(spec.gravity_hu) * (y / np.float32(spec.half_depth)) * np.float32(0.7)
    )
    coarse = texture(spec, (x, y, z), 4, 1.2)
    fine = texture(spec, (x, y, z), 5, 0.45)
    hu += np.float32(spec.texture_hu) * (np.float32(0.5) * coarse + np.float32(0.6) * fine)
    hu += np.float32(0.5 * spec.texture_hu) * rng.standard_normal(len(hu), dtype=np.float32)
    if spec.emphysema:
        holes = 1 / (1 + np.exp(-(fine + np.float32(0.7) * coarse - np.float32(1.6 - 1.6 * spec.emphysema)) * 1.6))
        hu += np.float32(0.75) * holes * (np.float32(-985) - hu)
    for sheet, strength in _fissures(spec, x, y, z):
        width = np.float32(0.5 * scene.voxel_mm + 0.3)
        hu += np.float32(strength * min(1.0, 1.5 / scene.voxel_mm)) * np.exp(-((sheet / width) ** 2))
    return hu


def _fissures(spec: ThoraxSpec, x: Field, y: Field, z: Field) -> list[tuple[Field, float]]:
    """Distances to the oblique fissures and the right horizontal one, each with its brightness in HU."""
    rng = np.random.default_rng([spec.anatomy_seed, 8])
    side = np.abs(x) - np.float32(0.5 * spec.half_width)
    bow = side**2 / np.float32(rng.uniform(250, 600)) + np.float32(7) * np.sin(
        y / np.float32(rng.uniform(18, 30)) + side / 25
    )
    tilt = np.deg2rad(rng.uniform(38, 58))
    oblique = np.float32(np.cos(tilt)) * (z - np.float32(rng.uniform(-5, 25)) + bow) - np.float32(np.sin(tilt)) * (
        y - 22
    )
    level = z - np.float32(rng.uniform(-10, 15)) + np.float32(1.6) * bow
    horizontal = np.where((x < 0) & (oblique > 3), level, np.float32(99))
    return [(oblique, float(rng.uniform(10, 110))), (horizontal, float(rng.uniform(0, 80)))]


def draw_lungs(
    hu: Field, scene: Scene, lung: Field, tubes: Plumbing, *, lesions: tuple[Field, Field], rng: np.random.Generator
) -> None:
    """Draw great vessels, lungs with lesions and trees, then trachea and main bronchi into `hu` in place.

    `lesions` are (weight 0 … 1, HU) of the diseased tissue; its vessels and open bronchi stay visible. Ground glass is
    an *increased* opacity (Hansell et al., Fleischner glossary, Radiology 2008;246:697): diseased tissue is at least
    `LEAST_OPACITY_HU` denser than the lung that it lies in, however dense gravity or expiration make that.
    """
    spec, voxel = scene.spec, scene.voxel_mm
    blend(hu, coverage(tubes.great.moved(scene.deformation), scene.grid), spec.blood_hu)
    cover = soft(lung, voxel)
    inside = cover > 0
    air = np.zeros_like(hu)
    air[inside] = parenchyma(scene, inside, rng)
    blend(air, lesions[0], np.maximum(lesions[1], air + np.float32(LEAST_OPACITY_HU)))
    bronchi = tubes.bronchi.moved(scene.deformation)
    vessels = coverage(tubes.vessels.moved(scene.deformation), scene.grid)
    blend(air, vessels, spec.blood_hu)
    blend(air, np.float32(0.45) * coverage(bronchi.thicker(0.7), scene.grid), spec.muscle_hu)
    blend(air, coverage(bronchi, scene.grid), AIR_HU + 20)
    blend(hu, cover, air)
    airway = tubes.airway.moved(scene.deformation)
    blend(hu, coverage(airway.thicker(1.6), scene.grid), spec.muscle_hu)
    blend(hu, coverage(airway, scene.grid), AIR_HU + 5)
