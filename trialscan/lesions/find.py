"""From a segmentation to a list of lesions and the burden of the scan."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import GeometryError, LesionError
from trialscan.imaging import Box, Units, Volume
from trialscan.lesions.components import Components, find_components, minimum_voxels, unsure_voxels
from trialscan.lesions.diameters import diameters
from trialscan.lesions.findings import Burden, Findings, Lesion
from trialscan.lesions.organ import Organ, outline_organ
from trialscan.segmentation import Segmentation
from trialscan.study.sections import LesionSettings


@dataclass(frozen=True)
class _Scale:
    """What a voxel of this scan is worth; None where that is unknown."""

    voxel_ml: float | None
    pixel_mm2: float | None
    organ_voxels: int | None

    def ml(self, voxels: int) -> float | None:
        return None if self.voxel_ml is None else voxels * self.voxel_ml

    def mm2(self, voxels: int) -> float | None:
        return None if self.pixel_mm2 is None else voxels * self.pixel_mm2

    def percent(self, voxels: int) -> float | None:
        return 100.0 * voxels / self.organ_voxels if self.organ_voxels else None


def find_lesions(segmentation: Segmentation, image: Volume, settings: LesionSettings) -> Findings:
    """Separate the lesions of one scan and measure each on the grid it was segmented on.

    Parameters
    ----------
    segmentation : lesion classes 1…n and the organ, on the grid of `image`.
    image : the scan, for intensities.
    settings : the protocol's minimum size of a lesion.

    Raises
    ------
    GeometryError
        A mask does not lie on the image's grid.
    LesionError
        The lesion mask holds a class that `class_names` does not name.
    """
    classes = segmentation.lesions
    _check_grids(segmentation, image)
    mask = classes.array != 0
    _check_classes(classes.array[mask], segmentation.class_names)
    found = find_components(mask, minimum_voxels(classes, settings))
    organ, organ_voxels = _organ_voxels(segmentation.organ, found)
    scale = _scale(classes, organ_voxels if organ else None)
    percent = segmentation.probability_percent
    shape = outline_organ(segmentation.organ, found.labels) if found.counts else None
    measure = partial(_measure, found, segmentation, image, scale, organ=shape)
    lesions = tuple(measure(number) for number in range(1, len(found.counts) + 1))
    burden = _burden(lesions, found, segmentation.class_names, scale, organ_voxels)
    doubtful = np.zeros((0, 3), np.int64)
    if percent is not None:
        doubtful = unsure_voxels(percent.array, mask, minimum_voxels(classes, settings))
    labels = classes.with_array(found.labels)
    return Findings(labels, lesions, burden, found.dropped.astype(np.float64), doubtful.astype(np.float64))


def _check_grids(segmentation: Segmentation, image: Volume) -> None:
    masks = ("lesion mask", segmentation.lesions), ("organ mask", segmentation.organ)
    for name, mask in (*masks, ("lesion probability", segmentation.probability_percent)):
        if mask is not None and not mask.same_grid(image):
            raise GeometryError(
                name, f"a grid of {mask.shape} voxels", f"the scan's own grid of {image.shape} voxels in the same place"
            )


def _check_classes(present: NDArray[Any], names: Mapping[int, str]) -> None:
    unknown = sorted(set(np.unique(present).tolist()) - set(names))
    if unknown:
        raise LesionError("lesion mask", f"labels {unknown}", f"classes {dict(sorted(names.items()))}")


def _organ_voxels(organ: Volume | None, found: Components) -> tuple[bool, int | None]:
    """Whether there is an organ to take percentages of, and its voxels united with the lesions'."""
    if organ is None:
        return False, None
    inside = organ.array > 0
    if not inside.any():
        return False, 0
    return True, int(np.count_nonzero(inside | (found.labels > 0)))


def _scale(grid: Volume, organ_voxels: int | None) -> _Scale:
    if not grid.spacing_known:
        return _Scale(None, None, organ_voxels)
    if grid.is_planar:
        pixel_mm2 = float(np.linalg.norm(np.cross(grid.affine[:3, 0], grid.affine[:3, 1])))
        return _Scale(None, pixel_mm2, organ_voxels)
    return _Scale(grid.voxel_ml, None, organ_voxels)


def _measure(
    found: Components, segmentation: Segmentation, image: Volume, scale: _Scale, number: int, *, organ: Organ | None
) -> Lesion:
    box = found.boxes[number - 1]
    inside = found.labels[box] == number
    voxels = np.argwhere(inside) + [axis.start for axis in box]
    size = len(voxels)
    class_voxels = _class_voxels(segmentation.lesions.array[box][inside], segmentation.class_names)
    i, j, k = box
    lengths = diameters(voxels, image.affine[:3, :3]) if image.spacing_known else None
    grey = _intensity(image, box, inside)
    x, y, z = image.to_world(voxels.mean(axis=0)[None])[0]
    return Lesion(
        number=number,
        class_name=max(class_voxels, key=lambda name: class_voxels[name]),
        voxel_count=size,
        class_voxels=class_voxels,
        volume_ml=scale.ml(size),
        class_ml={name: scale.ml(count) for name, count in class_voxels.items()},
        area_mm2=scale.mm2(size),
        organ_percent=scale.percent(size),
        longest_diameter_mm=lengths.longest_mm if lengths else None,
        slice_diameter_mm=lengths.slice_mm if lengths else None,
        slice_perpendicular_mm=lengths.slice_perpendicular_mm if lengths else None,
        mean_intensity=grey.mean,
        sd_intensity=grey.deviation,
        centroid=(float(x), float(y), float(z)),
        centroid_unit="mm" if image.spacing_known else "pixel",
        bounding_box=((i.start, i.stop), (j.start, j.stop), (k.start, k.stop)),
        touches_border=_touches_border(box, image),
        perpendicular_diameter_mm=lengths.perpendicular_mm if lengths else None,
        intensity_p10=grey.percentiles[0],
        intensity_p50=grey.percentiles[1],
        intensity_p90=grey.percentiles[2],
        mass_g=grey.mass_g,
        surface_distance_mm=organ.distance_mm(inside, box) if organ else None,
        side=organ.side(inside, box) if organ else "",
        mean_probability=_mean_probability(segmentation.probability_percent, box, inside),
    )


def _mean_probability(percent: Volume | None, box: Box, inside: NDArray[np.bool_]) -> float | None:
    return None if percent is None else float(percent.array[box][inside].mean()) / 100.0


def _class_voxels(held: NDArray[Any], class_names: Mapping[int, str]) -> dict[str, int]:
    """Voxels of each class by name, in the order of the class numbers; labels that share a name are one class."""
    counts = np.bincount(held, minlength=max(class_names) + 1)
    voxels = {class_names[label]: 0 for label in sorted(class_names)}
    for label, name in class_names.items():
        voxels[name] += int(counts[label])
    return voxels


@dataclass(frozen=True)
class _Grey:
    """What the voxels of a lesion hold; None where none is a number."""

    mean: float | None = None
    deviation: float | None = None
    percentiles: tuple[float | None, float | None, float | None] = (None, None, None)
    mass_g: float | None = None


def _intensity(image: Volume, box: Box, inside: NDArray[np.bool_]) -> _Grey:
    """Mean, population standard deviation and percentiles of the finite values; mass where they are HU with volume.

    Voxels that are no number weigh as much as the others do on average.
    """
    values = image.array[box][inside]
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return _Grey()
    low, middle, high = (float(value) for value in np.percentile(finite, [10, 50, 90]))
    heavy = image.units is Units.HU and image.spacing_known and not image.is_planar
    density = np.maximum(finite + 1000.0, 0.0).mean() / 1000.0
    mass = float(density * values.size * image.voxel_ml) if heavy else None
    return _Grey(float(finite.mean()), float(finite.std()), (low, middle, high), mass)


def _touches_border(box: Box, grid: Volume) -> bool:
    axes = zip(box, grid.shape, strict=True)
    scanned = list(axes)[:2] if grid.is_planar else list(axes)
    return any(axis.start == 0 or axis.stop == length for axis, length in scanned)


def _burden(
    lesions: tuple[Lesion, ...],
    found: Components,
    class_names: Mapping[int, str],
    scale: _Scale,
    organ_voxels: int | None,
) -> Burden:
    total = sum(found.counts)
    names = [class_names[label] for label in sorted(class_names)]
    of_class = {name: sum(lesion.class_voxels[name] for lesion in lesions) for name in names}
    return Burden(
        burden_ml=scale.ml(total),
        organ_ml=None if organ_voxels is None else scale.ml(organ_voxels),
        burden_percent=scale.percent(total),
        class_ml={name: scale.ml(count) for name, count in of_class.items()},
        class_percent={name: scale.percent(count) for name, count in of_class.items()},
        lesion_count=len(lesions),
        dropped_count=found.dropped_count,
        dropped_voxels=found.dropped_voxels,
        dropped_ml=scale.ml(found.dropped_voxels),
    )
