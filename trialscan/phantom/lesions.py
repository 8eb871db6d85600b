"""Lesions of irregular outline within the lungs: where each one is, and how dense."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.phantom.anatomy import surfaces
from trialscan.phantom.lung import lung_points, texture
from trialscan.phantom.spec import CONSOLIDATION, GROUND_GLASS, LesionSpec, ThoraxSpec
from trialscan.phantom.tissue import Scene

Field = NDArray[Any]
IRREGULARITY = 0.30
CORE_SHARE = 0.62


@dataclass(frozen=True)
class LesionShape:
    """The irregular distance from one lesion's centre at the lung voxels around it.

    block : the voxels looked at; distance : of the block's shape, mm in reference coordinates, infinite off the lung.
    """

    spec: LesionSpec
    block: tuple[slice, slice, slice]
    distance: Field


@dataclass(frozen=True)
class LesionLayer:
    """All lesions on a scan's grid: instance labels, class labels, and what to draw."""

    instances: NDArray[np.int16]
    classes: NDArray[np.uint8]
    weight: Field
    hu: Field


def lesion_shape(scene: Scene, lung: Field, spec: LesionSpec, reach_mm: float) -> LesionShape:
    """Measure the irregular distance from `spec`'s centre as far as `reach_mm` around it."""
    cx, cy, cz = spec.center_mm
    low, high = (cx - reach_mm, cy - reach_mm, cz - reach_mm), (cx + reach_mm, cy + reach_mm, cz + reach_mm)
    block = scene.block(low, high)
    dx, dy, dz = (c[block] - np.float32(m) for c, m in zip((scene.x, scene.y, scene.z), spec.center_mm, strict=True))
    depth = lung[block]
    square = dx * dx + dy * dy + dz * dz
    if square.size:
        nearest = depth.flat[int(np.argmin(square))]
        square = square + np.float32(spec.flattening) * (depth - nearest) ** 2
    distance = np.sqrt(square) * (1 + np.float32(IRREGULARITY) * _roughness(spec, dx, dy, dz))
    inside = (depth < 0) & ((scene.x[block] > 0) == (cx > 0))
    return LesionShape(spec, block, np.where(inside, distance, np.float32(np.inf)))


def _roughness(spec: LesionSpec, dx: Field, dy: Field, dz: Field) -> Field:
    """Smooth noise within ±1: lobes that depend on the direction from the centre, and finer ones on the place."""
    rng = np.random.default_rng([spec.shape_seed, 7])
    scale = 1 / (np.sqrt(dx * dx + dy * dy + dz * dz) + np.float32(2.0))
    ux, uy, uz = dx * scale, dy * scale, dz * scale
    total: Field = np.zeros((), dtype=np.float32)
    for number in range(7):
        wave = rng.normal(size=3)
        wave /= np.linalg.norm(wave)
        lobed = number < 5
        a, b, c = (wave * (rng.uniform(1.5, 6.0) if lobed else 2 * np.pi / rng.uniform(15, 40))).astype(np.float32)
        phase = np.float32(rng.uniform(0, 6.3))
        place = (ux, uy, uz) if lobed else (dx, dy, dz)
        total = total + np.float32(1.0 if lobed else 0.4) * np.sin(a * place[0] + b * place[1] + c * place[2] + phase)
    return np.clip(total / np.float32(2.6), -1, 1)


def draw_lesions(scene: Scene, shapes: Sequence[LesionShape], radii_mm: Sequence[float], edge_mm: float) -> LesionLayer:
    """Label and shade every lesion; where two overlap, a voxel belongs to the one it lies deeper in.

    `edge_mm` is the least width of a lesion's margin; ground glass fades over 4 mm more.
    """
    shape = scene.grid.shape
    share = np.full(shape, np.inf, dtype=np.float32)
    layer = LesionLayer(
        np.zeros(shape, np.int16), np.zeros(shape, np.uint8), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    )
    for lesion, radius in zip(shapes, radii_mm, strict=True):
        relative = lesion.distance / np.float32(radius)
        closer = relative < np.minimum(share[lesion.block], np.float32(1))
        share[lesion.block][closer] = relative[closer]
        layer.instances[lesion.block][closer] = lesion.spec.lesion_id
        layer.classes[lesion.block][closer] = _class_of(lesion.spec.kind, relative[closer])
        _shade(layer, scene, lesion, radius, edge_mm)
    return layer


def _class_of(kind: str, relative: Field) -> NDArray[np.uint8]:
    core = {"ground_glass": -1.0, "consolidation": 2.0, "mixed": CORE_SHARE}[kind]
    return np.where(relative < core, CONSOLIDATION, GROUND_GLASS).astype(np.uint8)


def _shade(layer: LesionLayer, scene: Scene, lesion: LesionShape, radius: float, edge_mm: float) -> None:
    """Add one lesion's density: the denser of what is there already and this lesion's own."""
    spec, block = lesion.spec, lesion.block
    near = lesion.distance < radius + edge_mm + 4
    distance = lesion.distance[near]
    points = (scene.x[block][near], scene.y[block][near], scene.z[block][near])
    mottle = texture(scene.spec, points, 6, 0.5)
    glass = np.float32(-700 + 250 * spec.density) + 38 * mottle
    dense = np.float32(-110 + 160 * spec.density) + 15 * mottle
    core = {"ground_glass": -1e6, "consolidation": radius, "mixed": CORE_SHARE * radius}[spec.kind]
    solid = np.clip(0.5 + (core - distance) / np.float32(edge_mm + 1.0), 0, 1)
    hu = glass + solid * (dense - glass)
    fade = edge_mm if spec.kind == "consolidation" else edge_mm + 4.0
    weight = np.clip(0.5 + (radius - distance) / np.float32(fade), 0, 1)
    before, share = layer.hu[block][near], layer.weight[block][near]
    layer.hu[block][near] = np.where((share > 0) & (before > hu), before, hu)
    layer.weight[block][near] = np.maximum(share, weight)


def lesion_sites(spec: ThoraxSpec, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Points in the lungs, reference LPS mm, that prefer periphery, back and base as viral pneumonia does."""
    points = lung_points(spec, 60 + 12 * count, rng, depth_mm=2.0)
    depth = surfaces(spec, *points.T).lung
    height = (points[:, 2] - spec.base_z) / (spec.apex_z - spec.base_z)
    weight = np.exp(depth / 14 + points[:, 1] / 70 - 1.2 * height)
    return points[rng.choice(len(points), size=count, replace=False, p=weight / weight.sum())]


def random_lesions(
    spec: ThoraxSpec, rng: np.random.Generator, count: int, radius_mm: tuple[float, float] = (5.0, 34.0)
) -> tuple[LesionSpec, ...]:
    """Draw lesions anew; `radius_mm` bounds the log-uniform radius."""
    lesions = []
    for n, point in enumerate(lesion_sites(spec, rng, count), start=1):
        kind = str(rng.choice(["ground_glass", "consolidation", "mixed"], p=[0.5, 0.2, 0.3]))
        x, y, z = point.tolist()
        radius = float(np.exp(rng.uniform(np.log(radius_mm[0]), np.log(radius_mm[1]))))
        lesions.append(
            LesionSpec(
                n, kind, (x, y, z), radius, int(rng.integers(2**31)), float(rng.uniform(0, 3)), float(rng.uniform(0, 1))
            )
        )
    return tuple(lesions)
