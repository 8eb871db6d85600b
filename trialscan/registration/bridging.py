"""A displacement field led over lesions, where engines that cannot switch forces off would follow what is not there."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.registration.candidate import Candidate
from trialscan.registration.neutral import without_lesions
from trialscan.registration.scene import Scene

_PASSES = 20
_PASS_SIGMA_VOXELS = 1.5
_TRUNCATE = 3.0
_REACH_VOXELS = 5
_RIM_VOXELS = 1


def over_lesions(scene: Scene, start: Candidate, field: sitk.Image) -> sitk.Image:
    """The field with what it does inside the lesions of either scan replaced by what it does around them."""
    if scene.fixed_lesions is None and scene.moving_lesions is None:
        return field
    whole = sitk.CompositeTransform([start.affine(), sitk.DisplacementFieldTransform(sitk.Image(field))])
    lesions = np.zeros(field.GetSize()[::-1], dtype=bool)
    for mask, place in ((scene.fixed_lesions, sitk.Transform()), (scene.moving_lesions, whole)):
        if mask is not None:
            share = sitk.Resample(mask, field.GetSize(), place, sitk.sitkLinear, field.GetOrigin(), field.GetSpacing(),
                                  field.GetDirection(), 0.0)  # fmt: skip
            lesions |= sitk.GetArrayViewFromImage(share) > 0
    values = bridged(sitk.GetArrayFromImage(field), lesions, np.asarray(field.GetSpacing())[::-1])
    bridge = sitk.GetImageFromArray(values, isVector=True)
    bridge.CopyInformation(field)
    return bridge


def bridged(
    field: NDArray[np.float64], lesions: NDArray[np.bool_], spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A field (…, component) whose values in and at the rim of lesions are carried over from around them, smoothly.

    The mean of the surroundings first, then passes of smoothing inside alone, which tend to a membrane.
    """
    hole = ndimage.binary_dilation(lesions, iterations=_RIM_VOXELS) if lesions.any() else lesions
    if not hole.any() or hole.all():
        return field
    everywhere = np.ones_like(hole)
    components = [without_lesions(part, everywhere, hole, spacing_mm) for part in np.moveaxis(field, -1, 0)]
    filled = np.stack(components, axis=-1)
    (spans,) = ndimage.find_objects(hole.astype(np.uint8))
    box = tuple(slice(max(span.start - _REACH_VOXELS, 0), span.stop + _REACH_VOXELS) for span in spans)
    part, inside = filled[box], hole[box]
    for _ in range(_PASSES):
        smooth = ndimage.gaussian_filter(part, (*[_PASS_SIGMA_VOXELS] * hole.ndim, 0), truncate=_TRUNCATE)
        part[inside] = smooth[inside]
    return filled
