"""The large surfaces of the thorax as signed distances in reference coordinates (negative inside, about mm)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.phantom.spec import ThoraxSpec

Field = NDArray[Any]

HEMITHORAX_CENTER = 0.335
MEDIAL_REACH = 0.28


@dataclass(frozen=True)
class Surfaces:
    """Signed distances on one set of points.

    cavity : the two halves of the chest, to the inner side of the ribs.
    section : 0 in the middle of a half's cross-section, 1 at its wall.
    dome : positive below the diaphragm.
    mediastinum : everything between the lungs but heart and spine.
    heart, spine : the heart with its sac; the vertebral column with the tissue around it.
    lung : what remains for the lungs before the great vessels take their part.
    rib : distance to the nearest rib's middle line along z, mm.
    """

    cavity: Field
    section: Field
    dome: Field
    mediastinum: Field
    heart: Field
    spine: Field
    lung: Field
    rib: Field


def smooth_max(a: Field, b: Field, width: float) -> Field:
    """Polynomial smooth maximum: the intersection of two bodies with an edge rounded over `width` mm."""
    blend: Field = np.maximum(width - np.abs(a - b), 0)
    blend *= blend
    blend *= np.float32(0.25 / width)
    blend += np.maximum(a, b)
    return blend


def wobble(spec: ThoraxSpec, x: Field, y: Field, z: Field) -> tuple[Field, Field]:
    """Two smooth random displacements (about ±4 mm) that make every surface irregular."""
    rng = np.random.default_rng([spec.anatomy_seed, 1])
    fields = []
    for _ in range(2):
        total: Field = np.zeros((), dtype=np.float32)
        for _ in range(3):
            wave = rng.normal(size=3)
            wave *= 2 * np.pi / (np.linalg.norm(wave) * rng.uniform(70, 180))
            a, b, c = wave.astype(np.float32)
            total = total + np.float32(rng.uniform(0.8, 2.0)) * np.sin(
                a * x + b * y + (c * z + np.float32(rng.uniform(0, 6.3)))
            )
        fields.append(total)
    return fields[0], fields[1]


def spine_y(spec: ThoraxSpec, z: Field) -> Field:
    """Front-to-back place of the vertebral bodies' middle at height z: a gentle kyphosis, mm."""
    middle: Field = spec.half_depth + spec.spine_offset - 10 - np.float32(0.0011) * (z + 5) ** 2
    return middle


def chest_section(spec: ThoraxSpec, x: Field, y: Field, z: Field) -> tuple[Field, Field]:
    """Superelliptic section of each half of the chest: (section, signed distance to the inner wall)."""
    height = spec.apex_z - spec.base_z
    t = np.clip((spec.apex_z - z) / np.float32(height * spec.apex_taper), 0, 1)
    q = np.maximum(t * (2 - t), np.float32(0.002))
    q = np.sqrt(q)
    center = np.float32(HEMITHORAX_CENTER * spec.half_width)
    reach = np.float32(MEDIAL_REACH * spec.half_width)
    lateral, medial = (np.float32(spec.half_width) - center), center + reach
    dx = np.abs(x) - center
    middle = np.float32(spec.apex_shift) * (1 - q)
    front = np.float32(spec.half_depth) * (1 - np.float32(spec.front_slope) * (1 - t))
    dy = y - middle
    lateral = lateral * (1 + np.float32(spec.egg) * np.clip(dy / np.float32(spec.half_depth), -1, 0.4))
    u = np.abs(dx) / (np.where(dx > 0, lateral, medial) * q)
    v = np.abs(dy) / (np.where(dy > 0, np.float32(spec.half_depth), front) * q)
    p = np.float32(spec.squareness)
    section = np.maximum((u**p + v**p) ** (1 / p), np.float32(1e-3))
    distance = np.sqrt(dx * dx + dy * dy) * (1 - 1 / section)
    return section, np.maximum(distance, z - np.float32(spec.apex_z))


def dome_height(spec: ThoraxSpec, x: Field, y: Field, section: Field) -> Field:
    """Height z of the diaphragm: two domes that fall steeply into the recess along the wall, mm."""
    rise = np.sqrt(np.maximum(1 - section * section, 0)) * np.float32(spec.dome_height)
    left = np.float32(spec.left_dome_drop) / (1 + np.exp(-x / 18))
    height: Field = np.float32(spec.base_z) + rise - np.float32(spec.dome_tilt) * y - left
    return height


def heart_distance(spec: ThoraxSpec, x: Field, y: Field, z: Field) -> Field:
    """Signed distance to the heart: an ellipsoid that points left, forward and down, and the right atrium."""
    turn = np.deg2rad(spec.heart_turn_deg)
    dx, dy, dz = (c - np.float32(m) for c, m in zip((x, y, z), spec.heart_center, strict=True))
    along = np.float32(np.cos(turn)) * dx - np.float32(np.sin(turn)) * dy - np.float32(0.45) * dz
    across = np.float32(np.sin(turn)) * dx + np.float32(np.cos(turn)) * dy
    a, b, c = (np.float32(1 / axis) for axis in spec.heart_axes)
    norm = np.sqrt((along * a) ** 2 + (across * b) ** 2 + (dz * c) ** 2)
    atrium = np.sqrt(
        (dx + np.float32(0.62 * spec.heart_axes[0])) ** 2 + (dy - 8) ** 2 + ((dz - 10) * np.float32(0.72)) ** 2
    )
    return -smooth_max(
        (1 - norm) * np.float32(min(spec.heart_axes)), np.float32(0.62 * spec.heart_axes[1]) - atrium, 12.0
    )


def mediastinum_distance(spec: ThoraxSpec, x: Field, y: Field, z: Field) -> Field:
    """Signed distance to the space between the lungs: wide around the trachea, narrow behind the breastbone."""
    v = (y - 14) / np.float32(46)
    v = v * v
    profile = np.float32(0.30) + np.float32(0.70) * np.exp(-v * v)
    upper = 1 / (1 + np.exp((70 - z) / 10))
    width = np.float32(spec.mediastinum_half_width) * profile + np.float32(9) * upper
    distance: Field = np.abs(x - np.float32(2)) - width
    return distance


def spine_distance(spec: ThoraxSpec, x: Field, y: Field, z: Field) -> Field:
    """Signed distance to the vertebral column with the tissue around it: a column wider than deep."""
    dy = y - (spine_y(spec, z) + 6)
    norm = np.sqrt((x / 27) ** 2 + (dy / 29) ** 2)
    distance: Field = (norm - 1) * np.float32(27)
    return distance


def rib_distance(spec: ThoraxSpec, y: Field, z: Field) -> Field:
    """Distance along z to the nearest rib; ribs descend from the spine to the front."""
    back = np.float32(spec.half_depth) - y
    phase = (z + np.float32(spec.rib_slope) * back) / np.float32(spec.rib_pitch) + np.float32(spec.rib_phase)
    distance: Field = np.abs(phase - np.rint(phase)) * np.float32(spec.rib_pitch)
    return distance


def surfaces(spec: ThoraxSpec, x: Field, y: Field, z: Field) -> Surfaces:
    """Every large surface at reference points given as float32 arrays that broadcast together."""
    first, second = wobble(spec, x, y, z)
    wx, wy = x + first, y + second
    section, cavity = chest_section(spec, wx, wy, z)
    rib = rib_distance(spec, y, z)
    scallop = np.float32(1.1) * np.cos(rib * np.float32(2 * np.pi / spec.rib_pitch))
    cavity = cavity + scallop
    dome = (dome_height(spec, x, y, section) + second - z) * np.float32(0.8)
    mediastinum = mediastinum_distance(spec, wx, wy, z)
    heart = heart_distance(spec, wx, wy, z)
    spine = spine_distance(spec, x, y, z)
    lung = smooth_max(smooth_max(cavity, -mediastinum, 10.0), -heart, 9.0)
    lung = smooth_max(smooth_max(lung, -spine, 8.0), dome, 3.0)
    return Surfaces(cavity, section, dome, mediastinum, heart, spine, lung, rib)
