"""A chest radiograph with known masks: line integrals of a simulated thorax from front to back.

Pictures are shown as they hang: array (i, j, 1), i to the right (the patient's left), j downward. They carry no
millimetres.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.imaging import Units, Volume, affine_from
from trialscan.phantom.deformation import Deformation
from trialscan.phantom.detector import expose
from trialscan.phantom.lesions import LesionLayer, draw_lesions, random_lesions
from trialscan.phantom.lung import LEFT, RIGHT
from trialscan.phantom.spec import CONSOLIDATION, Grid, LesionSpec, ThoraxSpec
from trialscan.phantom.thorax import REACH, Phantom, Stage, paint, set_stage
from trialscan.phantom.tissue import soft

Field = NDArray[Any]
WATER_PER_MM = 0.0195
DEPTH_STEP_MM = 7.0
MIN_LUNG_MM = 12.0
MAX_ABDOMEN_MM = 32.0
CLOSING_MM = 14.0
MIN_OPACITY_WATER_MM = 7.0


@dataclass(frozen=True)
class Radiograph:
    """A picture (8-bit, planar, spacing unknown) with its truth on the same pixels.

    lungs : 1 left, 2 right, as readers outline them: above the diaphragm's silhouette, heart shadow included where
    lung lies behind it. opacities : 1 ground glass, 2 consolidation.
    """

    image: Volume
    lungs: Volume
    opacities: Volume


@dataclass(frozen=True)
class _Shadows:
    """Projections on the (x, z) plane: attenuation, thickness of each lung and of the abdomen, lesion water."""

    attenuation: Field
    left_mm: Field
    right_mm: Field
    abdomen_mm: Field
    glass_water_mm: Field
    dense_water_mm: Field


def project_radiograph(phantom: Phantom, seed: int, pixel_mm: float = 1.6) -> Radiograph:
    """Take a radiograph of a simulated patient, lesions included.

    The phantom's anatomy is drawn again on a grid that is finer across the picture, without the CT's noise. `seed`
    draws posture, framing, exposure, processing and markers.
    """
    return _take(phantom.spec, phantom.drawn, phantom.deformation, seed, pixel_mm)


def simulate_radiograph(seed: int, pixel_mm: float = 1.6) -> Radiograph:
    """A radiograph of a patient drawn from `seed`; same seed, same bytes."""
    anatomy, disease, pose = np.random.default_rng([seed, 21]).spawn(3)
    spec = replace(ThoraxSpec.random(anatomy), arms_down=bool(anatomy.random() < 0.7), blood_hu=45.0)
    count = int(disease.integers(0, 7))
    lesions = random_lesions(spec, disease, count, (10.0, 55.0))
    turn = (float(pose.normal(0, 4)), float(pose.normal(0, 2.5)), float(pose.normal(0, 4)))
    return _take(spec, lesions, Deformation(float(pose.uniform(-0.3, 1.0)), rotation_deg=turn), seed, pixel_mm)


def _take(
    spec: ThoraxSpec, lesions: Sequence[LesionSpec], deformation: Deformation, seed: int, pixel_mm: float
) -> Radiograph:
    rng = np.random.default_rng([seed, 23])
    stage = set_stage(spec, _frame(spec, pixel_mm, rng), deformation)
    shapes = [stage.shape(lesion, REACH * lesion.radius_mm + 10) for lesion in lesions]
    layer = draw_lesions(stage.scene, shapes, [lesion.radius_mm for lesion in lesions], 3.0)
    shadows = _cast(stage, layer, rng)
    picture = expose(_hang(shadows.attenuation), pixel_mm, rng)
    lungs = _outline(shadows, pixel_mm)
    return Radiograph(
        _planar(picture, Units.INTENSITY),
        _planar(_hang(lungs), Units.LABEL),
        _planar(_hang(_opacities(shadows, lungs > 0, pixel_mm)), Units.LABEL),
    )


def _frame(spec: ThoraxSpec, pixel_mm: float, rng: np.random.Generator) -> Grid:
    """The detector's rectangle, from tight around the lungs to generous, and the whole depth of the patient."""
    side = spec.half_width + rng.uniform(4, 70, 2)
    low = (-float(side[0]), -spec.half_depth - 60, spec.base_z - rng.uniform(10, 90))
    high = (float(side[1]), spec.half_depth + 75, spec.apex_z + rng.uniform(-2, 70))
    return Grid.spanning(low, high, (pixel_mm, DEPTH_STEP_MM, pixel_mm))


def _cast(stage: Stage, layer: LesionLayer, rng: np.random.Generator) -> _Shadows:
    """Sum attenuation and thicknesses along y; bone counts for more than its HU, the softer the beam the more."""
    scene = stage.scene
    hu, _ = paint(stage, layer, rng)
    softness = np.float32(rng.uniform(1.2, 2.4))
    density = np.maximum(1 + hu / 1000, 0) + (softness - 1) * np.maximum(hu - 120, 0) / 1000
    step = DEPTH_STEP_MM
    air = soft(stage.lung, scene.voxel_mm)
    abdomen = (scene.surfaces.dome > 0) & (scene.surfaces.cavity < 0)
    gain = np.where(stage.lung < 0, layer.weight * np.maximum(layer.hu - scene.spec.lung_hu, 0) / 1000, 0)
    solid = layer.classes == CONSOLIDATION
    return _Shadows(
        WATER_PER_MM * step * density.sum(axis=1),
        step * (air * (scene.x > 0)).sum(axis=1),
        step * (air * (scene.x <= 0)).sum(axis=1),
        step * abdomen.sum(axis=1),
        step * (gain * ~solid).sum(axis=1),
        step * (gain * solid).sum(axis=1),
    )


def _outline(shadows: _Shadows, pixel_mm: float) -> NDArray[np.uint8]:
    """Lung fields as readers draw them: smooth, above the diaphragm, one component a side."""
    visible = shadows.abdomen_mm < MAX_ABDOMEN_MM
    labels = np.zeros(visible.shape, dtype=np.uint8)
    for label, thickness in ((RIGHT, shadows.right_mm), (LEFT, shadows.left_mm)):
        field = ndimage.gaussian_filter(((thickness > MIN_LUNG_MM) & visible).astype(np.float32), 4 / pixel_mm)
        field[thickness <= 0.3 * MIN_LUNG_MM] = 0
        parts, count = ndimage.label(field > 0.5)
        if count:
            largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
            labels[_closed(parts == largest, CLOSING_MM / pixel_mm) & (labels == 0)] = label
    return labels


def _closed(field: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Fill notches and holes narrower than twice the radius (pixels), as an outline drawn by hand does."""
    margin = int(np.ceil(radius)) + 1
    padded = np.pad(field, margin)
    grown = ndimage.distance_transform_edt(~padded) <= radius
    shrunk = ndimage.distance_transform_edt(grown) > radius
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(shrunk | padded)
    return filled[margin:-margin, margin:-margin]


def _opacities(shadows: _Shadows, lungs: NDArray[np.bool_], pixel_mm: float) -> NDArray[np.uint8]:
    """Where lesions add enough attenuation to be seen, by the kind that adds most."""
    glass, dense = (ndimage.gaussian_filter(w, 3 / pixel_mm) for w in (shadows.glass_water_mm, shadows.dense_water_mm))
    seen = (glass + dense > MIN_OPACITY_WATER_MM) & lungs
    return np.where(seen, np.where(dense > glass, CONSOLIDATION, 1), 0).astype(np.uint8)


def _hang(plane: NDArray[Any]) -> NDArray[Any]:
    """(x, z) to (column, row): z upward becomes rows downward."""
    return plane[:, ::-1]


def _planar(plane: NDArray[Any], units: Units) -> Volume:
    return Volume(np.ascontiguousarray(plane)[:, :, None], affine_from((1.0, 1.0, 1.0)), units, spacing_known=False)
