"""A thorax CT with known truth, from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trialscan.imaging import Units, Volume, affine_from
from trialscan.phantom.anatomy import surfaces
from trialscan.phantom.deformation import Deformation
from trialscan.phantom.lesions import LesionLayer, LesionShape, draw_lesions, lesion_shape, random_lesions
from trialscan.phantom.lung import Field, Plumbing, draw_lungs, hilum_cut, lung_labels, plumbing
from trialscan.phantom.scanner import acquire
from trialscan.phantom.spec import Grid, LesionSpec, ScannerSpec, ThoraxSpec
from trialscan.phantom.tissue import Scene, bones, couch, soft_tissue

REACH = 2.2


@dataclass(frozen=True)
class LesionTruth:
    """What is known of one lesion: its voxel volume in ml and centroid in LPS mm of the scan."""

    lesion_id: int
    kind: str
    volume_ml: float
    center_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Phantom:
    """A simulated scan with its truth, all on one grid.

    image : HU, int16. organ : 1 left lung, 2 right lung, lesions included. lesions : 1 ground glass, 2 consolidation.
    instances : label = lesion_id. deformation : maps reference LPS points to this scan's LPS points.
    spec, drawn : the anatomy and the lesions that the scan was made from.
    """

    image: Volume
    organ: Volume
    lesions: Volume
    instances: Volume
    truth: tuple[LesionTruth, ...]
    deformation: Deformation
    spec: ThoraxSpec
    drawn: tuple[LesionSpec, ...]


@dataclass(frozen=True)
class Stage:
    """A patient placed on a scan's grid, before lesions are drawn: what a search for lesion sizes needs."""

    scene: Scene
    tubes: Plumbing
    lung: Field

    def shape(self, spec: LesionSpec, reach_mm: float) -> LesionShape:
        """The irregular distance from one lesion's centre."""
        return lesion_shape(self.scene, self.lung, spec, reach_mm)


def whole_thorax(spec: ThoraxSpec, spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid that holds both lungs with the chest wall beside them."""
    wide, deep = spec.half_width + 34, spec.half_depth + 36
    lowest = spec.base_z - 0.85 * spec.dome_tilt * spec.half_depth - max(spec.left_dome_drop, 0.0) - 26
    return Grid.spanning((-wide, -deep, lowest), (wide, deep + 10, spec.apex_z + 22), spacing_mm)


def random_grid(spec: ThoraxSpec, spacing_mm: tuple[float, float, float], rng: np.random.Generator) -> Grid:
    """A field of view as scans come: the whole thorax, one cut low or high, or a single lung to the midline."""
    whole = whole_thorax(spec, spacing_mm)
    low = np.asarray(whole.origin_mm)
    high = low + np.asarray(whole.shape) * spacing_mm
    choice = rng.random()
    if choice < 0.3:
        side = 1 if rng.random() < 0.5 else -1
        edges = sorted((side * rng.uniform(-25, 20), side * (spec.half_width + rng.uniform(4, 34))))
        low[0], high[0] = edges
        low[1], high[1] = -spec.half_depth - rng.uniform(4, 30), spec.half_depth + rng.uniform(4, 30)
        low[2], high[2] = spec.base_z - rng.uniform(30, 55), spec.apex_z + rng.uniform(2, 25)
    elif choice < 0.5:
        low[2] += rng.uniform(0, 0.35) * (high[2] - low[2])
        high[2] -= rng.uniform(0, 0.25) * (high[2] - low[2])
    elif choice < 0.65:
        low[:2] -= rng.uniform(0, 40, 2)
        high[:2] += rng.uniform(0, 40, 2)
    a, b = low.tolist(), high.tolist()
    return Grid.spanning((a[0], a[1], a[2]), (b[0], b[1], b[2]), spacing_mm)


def set_stage(spec: ThoraxSpec, grid: Grid, deformation: Deformation) -> Stage:
    """Place the patient's surfaces, vessels and airways on the grid."""
    axes = np.meshgrid(*grid.axes(), indexing="ij", sparse=True)
    x, y, z = (np.broadcast_to(c, grid.shape) for c in deformation.pull_back(*axes))
    scene = Scene(spec, grid, deformation, x, y, z, surfaces(spec, x, y, z))
    tubes = plumbing(spec)
    return Stage(scene, tubes, hilum_cut(scene.surfaces.lung, scene, tubes))


def render(
    stage: Stage, shapes: Sequence[LesionShape], radii_mm: Sequence[float], scanner: ScannerSpec, seed: int
) -> Phantom:
    """Draw the stage with its lesions and take its picture; `seed` draws noise alone."""
    scene = stage.scene
    layer = draw_lesions(scene, shapes, radii_mm, scene.voxel_mm)
    rng = np.random.default_rng([seed, 11])
    hu, skin = paint(stage, layer, rng)
    if scanner.couch:
        couch(hu, scene, skin)
    affine = affine_from(scene.grid.spacing_mm, scene.grid.origin_mm)
    image = Volume(acquire(hu, scene.grid, scanner, rng), affine, Units.HU)
    organ = Volume(lung_labels(stage.lung, scene.x), affine, Units.LABEL)
    classes, instances = (Volume(a, affine, Units.LABEL) for a in (layer.classes, layer.instances))
    truth = lesion_truth(layer, instances, [shape.spec for shape in shapes])
    drawn = tuple(replace(shape.spec, radius_mm=float(r)) for shape, r in zip(shapes, radii_mm, strict=True))
    return Phantom(image, organ, classes, instances, truth, scene.deformation, scene.spec, drawn)


def paint(stage: Stage, layer: LesionLayer, rng: np.random.Generator) -> tuple[Field, Field]:
    """True radiodensity of the stage with its lesions (HU), and the signed distance to the skin."""
    hu, skin = soft_tissue(stage.scene)
    bones(hu, stage.scene)
    draw_lungs(hu, stage.scene, stage.lung, stage.tubes, lesions=(layer.weight, layer.hu), rng=rng)
    return hu, skin


def lesion_truth(layer: LesionLayer, instances: Volume, specs: Sequence[LesionSpec]) -> tuple[LesionTruth, ...]:
    """Volume and centroid of every lesion that holds a voxel, by its label."""
    truth = []
    for spec in sorted(specs, key=lambda s: s.lesion_id):
        voxels = np.argwhere(layer.instances == spec.lesion_id)
        if len(voxels):
            x, y, z = instances.to_world(voxels.mean(axis=0, keepdims=True))[0].tolist()
            truth.append(LesionTruth(spec.lesion_id, spec.kind, len(voxels) * instances.voxel_ml, (x, y, z)))
    return tuple(truth)


def simulate_thorax(
    seed: int,
    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 2.5),
    *,
    lesions: Sequence[LesionSpec] | None = None,
    breathing: float = 0.0,
    spec: ThoraxSpec | None = None,
    scanner: ScannerSpec | None = None,
    deformation: Deformation | None = None,
    grid: Grid | None = None,
) -> Phantom:
    """Simulate one CT of the chest; whatever is not given is drawn from `seed`.

    Parameters
    ----------
    seed : draws anatomy, scanner, lesions and noise, each from a stream of its own; same seed, same bytes.
    spacing_mm : voxel edges along i, j, k; ignored where `grid` is given.
    lesions : lesions in reference coordinates; None draws up to eight, () gives a healthy lung.
    breathing : -1 deep expiration … 1 deep inspiration; ignored where `deformation` is given.
    grid : where the scan lies; the whole thorax by default.

    Raises
    ------
    UsageError : a specification that cannot be drawn.
    """
    anatomy, device, disease, noise = np.random.default_rng(seed).spawn(4)
    spec = ThoraxSpec.random(anatomy) if spec is None else spec
    scanner = ScannerSpec.random(device) if scanner is None else scanner
    deformation = Deformation(breathing=breathing) if deformation is None else deformation
    grid = whole_thorax(spec, spacing_mm) if grid is None else grid
    if lesions is None:
        lesions = random_lesions(spec, disease, int(disease.integers(0, 9)))
    stage = set_stage(spec, grid, deformation)
    shapes = [stage.shape(lesion, REACH * lesion.radius_mm + 10) for lesion in lesions]
    return render(stage, shapes, [lesion.radius_mm for lesion in lesions], scanner, int(noise.integers(2**31)))
