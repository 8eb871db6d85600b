"""Numbers that say how far to trust a segmentation, and the flags a protocol's limits raise on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.imaging import Volume, occupied_box
from trialscan.study.sections import SegmentationSettings

Quality = Mapping[str, float | str | None]
_MIN_RANGE_COVERED = 0.25
_MAX_SHARE_OUTSIDE = 0.75


@dataclass(frozen=True, eq=False)
class Masks:
    """What quality is measured on: the scan, the masks in use, and the model's organ where a reader's replaced it."""

    volume: Volume
    organ: Volume | None
    lesions: Volume
    replaced_organ: Volume | None


def measure_quality(masks: Masks, evidence: Quality) -> Quality:
    """Quality numbers of one scan; None where one cannot be had (no organ, no lesion, spacing unknown).

    Keys that any model gives: `lesion_probability` (mean probability over the lesion voxels). Of a trialscan bundle
    also `lesion_low_ml` and `lesion_high_ml` (volume in which the lesion labels together reach 0.9, and 0.1; what lies
    between is the model's own doubt, not a confidence interval) with `lesion_voxels_low` and `_high`,
    `mirror_dice_foreground` and `mirror_dice_lesions` (agreement of a mirrored pass, where the protocol asks for one),
    `outlier_distance` and `outlier_ratio` (features against those of training scans, where the bundle holds these) and
    `network_memory` (`device`, or, where a GPU's memory was too small, `buffered` or `host`).

    Keys of every scan: `organ_ml`,
    `slice_thickness_mm` (longest voxel edge), `lesion_outside_organ_percent` (of the lesion voxels),
    `organ_intensity_min`, `_median`, `_max` (in the scan's units), `nan_voxels`, `voxels`; `model_organ_dice` and
    `model_organ_volume_ratio` (model ÷ reader) where a reader's organ replaced the model's.
    """
    volume, organ = masks.volume, masks.organ
    quality: dict[str, float | str | None] = {
        "lesion_probability": evidence.get("lesion_probability"),
        "organ_ml": _organ_ml(organ),
        "slice_thickness_mm": max(volume.spacing_mm) if volume.spacing_known and not volume.is_planar else None,
        "lesion_outside_organ_percent": _outside_percent(masks.lesions, organ),
        "nan_voxels": float(np.isnan(volume.array).sum()) if volume.array.dtype.kind == "f" else 0.0,
        "voxels": float(volume.array.size),
    }
    quality |= _organ_intensity(volume, organ)
    quality |= evidence
    quality |= _doubt_ml(volume, evidence)
    if masks.replaced_organ is not None and organ is not None:
        quality |= _agreement(masks.replaced_organ.array > 0, organ.array > 0)
    return quality


def raise_flags(masks: Masks, quality: Quality, settings: SegmentationSettings) -> tuple[str, ...]:
    """Sorted names of what is beyond the protocol's limits, or plainly wrong with scan or masks."""
    limits = settings.limits
    flags = {
        "slice_thickness": _above(quality["slice_thickness_mm"], limits.max_slice_thickness_mm),
        "organ_small": _below(quality["organ_ml"], limits.min_organ_ml),
        "organ_large": _above(quality["organ_ml"], limits.max_organ_ml),
        "lesion_outside_organ": _above(quality["lesion_outside_organ_percent"], limits.max_outside_organ_percent),
        "voxel_count": _above(quality["voxels"], limits.max_voxels),
        "empty_organ": masks.organ is not None and not masks.organ.array.any(),
        "field_of_view_cut": masks.organ is not None and _touches_border(masks.organ),
        "nan_voxels": _above(quality["nan_voxels"], 0.0),
        "intensity_range": _range_is_foreign(masks.volume.array, settings.intensity_range),
        "passes_disagree": _below(_least_agreement(quality), limits.min_mirror_dice),
        "unlike_training": _above(quality.get("outlier_ratio"), limits.max_outlier_ratio),
    }
    return tuple(sorted(name for name, raised in flags.items() if raised))


def _above(value: float | str | None, limit: float | None) -> bool:
    return isinstance(value, float) and limit is not None and value > limit


def _below(value: float | str | None, limit: float | None) -> bool:
    return isinstance(value, float) and limit is not None and value < limit


def _least_agreement(quality: Quality) -> float | None:
    found = [quality.get(name) for name in ("mirror_dice_foreground", "mirror_dice_lesions")]
    return min((value for value in found if isinstance(value, float)), default=None)


def _doubt_ml(volume: Volume, evidence: Quality) -> dict[str, float | str | None]:
    """The model's sure and possible lesion voxels in ml."""
    if not volume.spacing_known or volume.is_planar:
        return {}
    sides = ((side, evidence.get(f"lesion_voxels_{side}")) for side in ("low", "high"))
    return {f"lesion_{side}_ml": float(count) * volume.voxel_ml for side, count in sides if isinstance(count, float)}


def _organ_ml(organ: Volume | None) -> float | None:
    if organ is None or not organ.spacing_known or organ.is_planar:
        return None
    return float(np.count_nonzero(organ.array) * organ.voxel_ml)


def _outside_percent(lesions: Volume, organ: Volume | None) -> float | None:
    found = lesions.array > 0
    total = int(np.count_nonzero(found))
    if organ is None or total == 0:
        return None
    return 100.0 * float(np.count_nonzero(found & (organ.array == 0))) / total


def _organ_intensity(volume: Volume, organ: Volume | None) -> dict[str, float | str | None]:
    names = ("organ_intensity_min", "organ_intensity_median", "organ_intensity_max")
    box = None if organ is None else occupied_box(organ.array > 0)
    inside = np.empty(0) if organ is None or box is None else volume.array[box][organ.array[box] > 0]
    if inside.dtype.kind == "f":
        inside = inside[np.isfinite(inside)]
    if inside.size == 0:
        return dict.fromkeys(names)
    return dict(zip(names, (float(inside.min()), float(np.median(inside)), float(inside.max())), strict=True))


def _agreement(model: NDArray[np.bool_], reader: NDArray[np.bool_]) -> dict[str, float | str | None]:
    both, model_count, reader_count = (int(mask.sum()) for mask in (model & reader, model, reader))
    dice = 2.0 * both / (model_count + reader_count) if model_count + reader_count else 1.0
    ratio = model_count / reader_count if reader_count else None
    return {"model_organ_dice": dice, "model_organ_volume_ratio": ratio}


def _touches_border(organ: Volume) -> bool:
    """Whether organ voxels lie on the border of the array; the single slice of a planar image is no border."""
    axes = range(2 if organ.is_planar else 3)
    return any(bool((np.moveaxis(organ.array, axis, 0)[end] > 0).any()) for axis in axes for end in (0, -1))


def _range_is_foreign(array: NDArray[Any], expected: tuple[float, float] | None) -> bool:
    """Whether the numbers cannot be in the protocol's units: they span too little of its range, or mostly miss it."""
    if expected is None:
        return False
    low, high = expected
    least, greatest, inside, counted = np.inf, -np.inf, 0, 0
    slowest = int(np.argmax(np.abs(array.strides)))
    for slab in np.moveaxis(array, slowest, 0):  # one at a time, so that no second array of the scan's size is held
        finite = slab[np.isfinite(slab)] if array.dtype.kind == "f" else slab
        if finite.size:
            least, greatest = min(least, float(finite.min())), max(greatest, float(finite.max()))
            inside += int(np.count_nonzero((finite >= low) & (finite <= high)))
            counted += finite.size
    span = min(greatest, high) - max(least, low)
    return span < _MIN_RANGE_COVERED * (high - low) or inside < (1 - _MAX_SHARE_OUTSIDE) * counted
