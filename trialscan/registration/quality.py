"""How good an alignment is, from the images, the masks and the map itself."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.registration.candidate import Candidate, fade_padding
from trialscan.registration.scene import INTENSITY_SCALE, Scene

_WINDOW = 5
_TEXTURE = 0.02 * INTENSITY_SCALE


@dataclass(frozen=True)
class Scores:
    """What the ladder compares: organ Dice (None without masks), mean local correlation, folded share in percent."""

    organ_dice: float | None
    correlation: float
    folding_percent: float

    def record(self) -> Mapping[str, float | None]:
        """The numbers by name."""
        return {
            "organ_dice": self.organ_dice,
            "local_correlation": self.correlation,
            "folding_percent": self.folding_percent,
        }


def score(scene: Scene, candidate: Candidate) -> Scores:
    """Judge one candidate on the fixed working grid: the organ by its overlap, its interior by correlation."""
    transform = candidate.transform()
    moved = warped(scene, transform)
    jacobian = field_jacobian(candidate.warp, scene)
    return Scores(
        organ_dice(scene, transform),
        local_correlation(sitk.GetArrayViewFromImage(scene.fixed), moved, compared(scene, transform)),
        100.0 * float((jacobian <= 0).mean()),
    )


def compared(scene: Scene, transform: sitk.Transform) -> NDArray[np.bool_]:
    """Voxels of the fixed organ's interior, (k, j, i), with no lesion of either scan; the interior if none is left."""
    interior = scene.interior()
    sound = interior.copy()
    for lesions, place in ((scene.fixed_lesions, sitk.Transform()), (scene.moving_lesions, transform)):
        if lesions is not None:
            here = sitk.Resample(lesions, scene.fixed, place, sitk.sitkLinear, 0.0)
            sound &= sitk.GetArrayViewFromImage(here) <= 0
    return sound if sound.any() else interior


def warped(scene: Scene, transform: sitk.Transform) -> NDArray[np.float32]:
    """The moving working image on the fixed working grid, (k, j, i)."""
    image = sitk.Resample(scene.moving, scene.fixed, transform, sitk.sitkLinear, scene.background)
    array: NDArray[np.float32] = sitk.GetArrayFromImage(image)
    return array


def organ_dice(scene: Scene, transform: sitk.Transform) -> float | None:
    """Dice of the fixed organ and the moving one brought to it; None without masks."""
    if scene.moving_mask is None:
        return None
    image = sitk.Resample(scene.moving_mask, scene.fixed, transform, sitk.sitkLinear, 0.0)
    moved = sitk.GetArrayFromImage(image) > 0.5
    region = scene.region()
    total = int(region.sum()) + int(moved.sum())
    return 2.0 * int((region & moved).sum()) / total if total else 0.0


def local_correlation(first: NDArray[np.float32], second: NDArray[np.float32], region: NDArray[np.bool_]) -> float:
    """Pearson's correlation in windows of five voxels, averaged over the part of `region` where `first` has texture.

    Where only `second` is flat it counts as 0; 0 where nothing has texture.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = _mean(a), _mean(b)
    variance_a, variance_b = _mean(a * a) - mean_a**2, _mean(b * b) - mean_b**2
    textured = region & (variance_a > _TEXTURE**2)
    if not textured.any():
        return 0.0
    covariance = (_mean(a * b) - mean_a * mean_b)[textured]
    spread = np.sqrt(variance_a[textured] * np.maximum(variance_b[textured], _TEXTURE**2 / 100))
    return float((covariance / spread).mean())


def _mean(array: NDArray[np.float64]) -> NDArray[np.float64]:
    filtered: NDArray[np.float64] = ndimage.uniform_filter(array, _WINDOW)
    return filtered


def field_jacobian(warp: sitk.Image | None, scene: Scene) -> NDArray[np.float64]:
    """Determinant of the field's Jacobian at every voxel of the fixed organ; ones without a field."""
    region = scene.region()
    if warp is None:
        return np.ones(int(region.sum()))
    determinant = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(warp))
    cropped = determinant[tuple(slice(n, n + m) for n, m in zip(fade_padding(scene)[::-1], region.shape, strict=True))]
    inside: NDArray[np.float64] = cropped[region].astype(np.float64)
    return inside
