"""Radiodensity of everything but the lungs: skin, fat, muscle, bones, heart, great vessels, abdomen and couch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.phantom.anatomy import Surfaces, spine_y, wobble
from trialscan.phantom.deformation import Deformation
from trialscan.phantom.spec import Grid, ThoraxSpec
from trialscan.phantom.tubes import Tubes, coverage

Field = NDArray[Any]
AIR_HU = -1000.0


@dataclass(frozen=True)
class Scene:
    """A grid with its reference coordinates (float32, each of the grid's shape) and the surfaces there."""

    spec: ThoraxSpec
    grid: Grid
    deformation: Deformation
    x: Field
    y: Field
    z: Field
    surfaces: Surfaces

    @property
    def voxel_mm(self) -> float:
        """Mean edge of a voxel: the width over which surfaces fade."""
        return float(np.mean(self.grid.spacing_mm))

    def block(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> tuple[slice, slice, slice]:
        """Voxels that may hold the reference box, with a margin for its deformation."""
        corners = np.array(
            [[p[0], p[1], p[2]] for p in np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T]
        )
        there = self.deformation.to_scan(corners)
        spacing, origin = np.asarray(self.grid.spacing_mm), np.asarray(self.grid.origin_mm)
        a = np.clip(np.floor((there.min(axis=0) - 6 - origin) / spacing), 0, self.grid.shape).astype(int)
        b = np.clip(np.ceil((there.max(axis=0) + 6 - origin) / spacing) + 1, a, self.grid.shape).astype(int)
        return slice(int(a[0]), int(b[0])), slice(int(a[1]), int(b[1])), slice(int(a[2]), int(b[2]))


def soft(distance: Field, voxel_mm: float) -> Field:
    """Coverage of a voxel by the inside of a surface: 1 within, 0 without, a ramp one voxel wide between."""
    return np.clip(np.float32(0.5) - distance / np.float32(voxel_mm), 0, 1)


def blend(hu: Field, cover: Field, value: Field | float) -> None:
    """Replace `hu` by `value` where covered, in place."""
    hu += cover * (value - hu)


def body_distance(scene: Scene) -> Field:
    """Signed distance to the skin: a trunk with shoulders, neck and breasts."""
    spec, x, y, z = scene.spec, scene.x, scene.y, scene.z
    layers = spec.wall_mm + spec.muscle_mm + spec.fat_mm
    top = np.float32(spec.apex_z)
    shoulder = 1 / (1 + np.exp((top - 42 - z) / 13))
    neck = 1 / (1 + np.exp((top + 32 - z) / 7))
    width = np.float32(spec.half_width * 0.97 + layers) - np.float32(0.1) * np.maximum(z, 0)
    width += np.float32(spec.shoulder_mm) * shoulder
    width += neck * (np.float32(72 + 0.5 * spec.fat_mm) - width)
    depth = np.float32(spec.half_depth + 0.55 * layers + 12) - 10 * shoulder
    depth += neck * (np.float32(66 + 0.5 * spec.fat_mm) - depth)
    u, v = np.abs(x) / width, np.abs(y - 10 - 6 * shoulder) / depth
    radius = np.maximum((u**2.5 + v**2.5) ** np.float32(0.4), np.float32(1e-3))
    distance: Field = np.sqrt(x * x + (y - 10) ** 2) * (1 - 1 / radius)
    if spec.breast_mm:
        for side in (-1, 1):
            dx, dy = (
                (x - side * 0.55 * spec.half_width) / 62,
                (y + spec.half_depth + 0.4 * layers) / (8 + spec.breast_mm),
            )
            lobe = np.sqrt(dx * dx + dy * dy + ((z + 30) / 58) ** 2)
            distance = np.minimum(distance, (lobe - 1) * np.float32(8 + spec.breast_mm))
    return distance


def soft_tissue(scene: Scene) -> tuple[Field, Field]:
    """Air, fat, muscle and what fills the chest between the lungs; returns (HU, signed distance to the skin)."""
    spec, s, voxel = scene.spec, scene.surfaces, scene.voxel_mm
    rng = np.random.default_rng([spec.anatomy_seed, 2])
    skin = body_distance(scene)
    hu = np.full(scene.grid.shape, AIR_HU, dtype=np.float32)
    blend(hu, soft(skin, voxel), 20.0)
    blend(hu, soft(skin + 2.5, voxel), spec.fat_hu)
    first, second = wobble(spec, scene.x, scene.y, scene.z)
    waves = np.sin(s.cavity * np.float32(2 * np.pi / rng.uniform(16, 30)) + first)
    streak = np.clip((waves + np.float32(0.22) * second - np.float32(0.95)) * 3, 0, 1)
    muscle = spec.muscle_hu - (spec.muscle_hu - spec.fat_hu) * streak
    blend(hu, soft(skin + np.float32(4 + spec.fat_mm), voxel), muscle)
    filler = spec.fat_hu + rng.uniform(0.1, 0.9) * (spec.muscle_hu - spec.fat_hu)
    blend(hu, soft(s.cavity, voxel), filler)
    blend(hu, soft(s.spine, voxel), spec.muscle_hu)
    _heart(hu, scene, rng)
    _abdomen(hu, scene, rng)
    return hu, skin


def _heart(hu: Field, scene: Scene, rng: np.random.Generator) -> None:
    """Heart muscle with filled chambers inside, a layer of fat around some hearts."""
    spec, s = scene.spec, scene.surfaces
    sac = rng.uniform(0, 7)
    blend(hu, soft(s.heart, scene.voxel_mm), spec.fat_hu if sac > 2 else spec.muscle_hu)
    blend(hu, soft(s.heart + np.float32(sac), scene.voxel_mm), spec.muscle_hu)
    blend(hu, soft(s.heart + np.float32(sac + rng.uniform(8, 14)), scene.voxel_mm), spec.blood_hu)


def _abdomen(hu: Field, scene: Scene, rng: np.random.Generator) -> None:
    """Liver to the right; spleen, stomach with a bubble of gas, and fat to the left; all under the diaphragm."""
    spec, s, voxel, x, y, z = scene.spec, scene.surfaces, scene.voxel_mm, scene.x, scene.y, scene.z
    inside = np.minimum(soft(-s.dome, voxel), soft(s.cavity, voxel))
    liver_hu = rng.uniform(35, 70) + 0.3 * (spec.blood_hu - 45)
    content = np.where(x < 30 + 12 * np.sin(z / 21 + y / 33) - 0.3 * y, np.float32(liver_hu), np.float32(spec.fat_hu))
    top = spec.base_z + spec.dome_height - spec.left_dome_drop
    spleen = ((x - 88) / 42) ** 2 + ((y - 42) / 48) ** 2 + ((z - top + 52) / 48) ** 2 < 1
    content[spleen] = liver_hu + rng.uniform(-15, 10)
    stomach = ((x - 62) / 46) ** 2 + ((y + 18) / 44) ** 2 + ((z - top + 40) / 36) ** 2 < 1
    content[stomach] = rng.uniform(0, 45)
    if rng.random() < 0.75:
        content[stomach & (y < -18 + rng.uniform(-20, 14))] = AIR_HU + 20
    blend(hu, inside, np.where(s.dome < rng.uniform(2.5, 5), np.float32(spec.muscle_hu), content))


def bones(hu: Field, scene: Scene) -> None:
    """Ribs, vertebrae, breastbone, shoulder blades, clavicles and humeri, drawn into `hu` in place."""
    spec, s = scene.spec, scene.surfaces
    low = spec.base_z - 45
    shell = np.sqrt(
        ((s.cavity - np.float32(0.5 * spec.wall_mm)) / np.float32(0.36 * spec.wall_mm)) ** 2
        + (s.rib / np.float32(6.2)) ** 2
    )
    ring = (np.abs(scene.x) > 20) & (scene.z > low) & (scene.z < spec.apex_z + 8)
    cartilage = scene.y < -0.72 * spec.half_depth
    value = np.where(
        cartilage, np.float32(110), np.where(shell > 0.6, np.float32(spec.bone_hu), np.float32(0.45 * spec.bone_hu))
    )
    blend(hu, soft((shell - 1) * 4, scene.voxel_mm) * ring, value)
    _vertebrae(hu, scene)
    _breastbone(hu, scene)
    _shoulder_blades(hu, scene)
    _long_bones(hu, scene)


def _vertebrae(hu: Field, scene: Scene) -> None:
    """Bodies with dense rims and softer discs, the canal, and the arch with its processes."""
    spec = scene.spec
    block = scene.block((-40, 20, spec.base_z - 70), (40, spec.half_depth + 75, spec.apex_z + 70))
    x, z, voxel = scene.x[block], scene.z[block], scene.voxel_mm
    part = hu[block]
    dy = scene.y[block] - spine_y(spec, z)
    phase = np.abs((z / np.float32(spec.rib_pitch) + np.float32(spec.rib_phase)) % 1 - np.float32(0.5)) * np.float32(
        spec.rib_pitch
    )
    body = np.sqrt((x / 17) ** 2 + (dy / 15) ** 2) - 1
    disc = phase > 0.5 * spec.rib_pitch - 2.6
    rim = (body > -0.16) | (phase > 0.5 * spec.rib_pitch - 5)
    value = np.where(
        disc, np.float32(85), np.where(rim, np.float32(0.85 * spec.bone_hu), np.float32(0.4 * spec.bone_hu))
    )
    blend(part, soft(body * 15, voxel), value)
    arch = np.sqrt((x / 13) ** 2 + ((dy - 25) / 13) ** 2)
    blend(part, soft(np.abs(arch - 1) * 12 - 3.2, voxel) * (phase < 9), spec.bone_hu * 0.8)
    blend(part, soft(np.maximum(np.abs(x) - 3, np.abs(dy - 50) - 14), voxel) * (phase < 8), spec.bone_hu * 0.7)
    wings = np.maximum(np.abs(dy - 27) - 4, np.abs(np.abs(x) - 22) - 11)
    blend(part, soft(wings, voxel) * (phase < 5), spec.bone_hu * 0.7)


def _breastbone(hu: Field, scene: Scene) -> None:
    """A flat bone in front of the mediastinum."""
    spec = scene.spec
    block = scene.block((-30, -spec.half_depth - 40, -60), (30, -spec.half_depth + 70, spec.apex_z + 20))
    x, y, z = scene.x[block], scene.y[block], scene.z[block]
    t = np.clip((spec.apex_z - z) / np.float32((spec.apex_z - spec.base_z) * spec.apex_taper), 0, 1)
    q = np.sqrt(np.maximum(t * (2 - t), 0))
    front = spec.apex_shift * (1 - q) - spec.half_depth * (1 - spec.front_slope * (1 - t)) * q * 0.93
    plate = np.maximum(np.abs(x) - 15, np.abs(y - front + 6) - 5.5)
    plate = np.maximum(plate, np.maximum(-70 - z, z - (spec.apex_z - 22)))
    part = hu[block]
    blend(part, soft(plate, scene.voxel_mm), spec.bone_hu * 0.35)
    blend(part, soft(np.abs(plate + 1) - 1.2, scene.voxel_mm), spec.bone_hu * 0.7)


def _shoulder_blades(hu: Field, scene: Scene) -> None:
    """Two thin plates behind the upper ribs, in a bed of muscle."""
    spec, s = scene.spec, scene.surfaces
    offset = spec.wall_mm + 0.5 * spec.muscle_mm
    for side in (-1, 1):
        low, high = sorted((side * 35.0, side * (spec.half_width + 25)))
        block = scene.block((low, -10, -25), (high, spec.half_depth + 50, spec.apex_z + 5))
        x, y, z = scene.x[block], scene.y[block], scene.z[block]
        height = (z + 22) / np.float32(spec.apex_z + 12)
        edge = np.abs(side * x - (0.62 + 0.16 * height) * spec.half_width) - (8 + 34 * np.clip(height, 0, 1))
        plate = np.maximum(np.abs(s.cavity[block] - offset) - 1.8, np.maximum(edge, 10 - y))
        plate = np.maximum(plate, np.maximum(-z - 22, z - spec.apex_z + 10))
        blend(hu[block], soft(plate, scene.voxel_mm), spec.bone_hu * 0.9)


def _long_bones(hu: Field, scene: Scene) -> None:
    """Clavicles always; the heads of the humeri, and the arms' shafts where the arms are down."""
    spec = scene.spec
    top, wide = spec.apex_z, spec.half_width + 0.55 * spec.shoulder_mm
    rods, radii = [], []
    for side in (-1.0, 1.0):
        rods.append(((side * 20, -0.42 * spec.half_depth, top - 18), (side * (wide - 22), 8.0, top + 6)))
        radii.append(5.5)
        rods.append(((side * wide, 14.0, top + 2), (side * wide, 14.0, top - 6)))
        radii.append(19.0)
        if spec.arms_down:
            rods.append(((side * (wide + 2), 14.0, top - 10), (side * (wide + 14), 18.0, top - 260)))
            radii.append(11.0)
    start, end = (np.array([rod[n] for rod in rods]) for n in (0, 1))
    width = np.array(radii)
    tubes = Tubes(start, end, width, width).moved(scene.deformation)
    if spec.arms_down:
        flesh = np.where(width == 11.0, 36.0, 0.1)
        blend(hu, coverage(Tubes(tubes.start, tubes.end, flesh, flesh), scene.grid), spec.muscle_hu)
    blend(hu, coverage(tubes, scene.grid), spec.bone_hu)
    blend(hu, coverage(Tubes(tubes.start, tubes.end, 0.6 * width, 0.6 * width), scene.grid), 0.4 * spec.bone_hu)


def couch(hu: Field, scene: Scene, skin: Field) -> None:
    """A curved table of foam with a dense surface behind the back, in scan coordinates."""
    spec = scene.spec
    x, y, _ = (axis for axis in scene.grid.axes())
    back = spec.half_depth + 0.55 * (spec.wall_mm + spec.muscle_mm + spec.fat_mm) + 27
    depth = (y[None, :] - np.float32(back)) + x[:, None] ** 2 / np.float32(1900)
    wide = np.abs(x)[:, None] < 215
    top = np.exp(-((depth / 2.0) ** 2)) + np.exp(-(((depth - 24) / 2.0) ** 2))
    value = AIR_HU + 780 * top + 90 * ((depth > 0) & (depth < 24))
    table = (np.where(wide & (depth > -8), value, AIR_HU))[:, :, None].astype(np.float32)
    np.maximum(hu, np.where(skin > 0, table, hu), out=hu)
