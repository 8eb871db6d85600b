"""Whether two aligned scans show the same patient within one outline, or one of them is mirrored."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.errors import RegistrationError
from trialscan.registration.candidate import Candidate
from trialscan.registration.linear import register_linear
from trialscan.registration.quality import Scores, local_correlation, score, warped
from trialscan.registration.scene import Scene

MIRROR_MARGIN = 0.1
_COARSER = 2
_COARSEN_FROM = 48
_RIND_VOXELS = 4
_NOISE_SIGMA_VOXELS = 0.7


def mirrored_axis(scene: Scene) -> int | None:
    """The axis of the follow-up's grid along which a mirrored follow-up fits clearly better; None when none does.

    Compares affine fits that start straight and mirrored about the organ's centroid, by organ Dice and local
    correlation; large images are halved for it.
    """
    quick = _coarser(scene) if min(scene.fixed.GetSize()) >= _COARSEN_FROM else scene
    scores = [_fit(quick, axis) for axis in (None, *range(scene.dimension))]
    best = int(np.argmax(scores))
    return best - 1 if best > 0 and scores[best] > scores[0] + MIRROR_MARGIN else None


def inside_correlation(scene: Scene, candidate: Candidate) -> float | None:
    """Mean local correlation well inside the body that both scans show; None for planar images and thin bodies.

    Without masks the outline of the body counts most, and a deformation brings it together even between two patients.
    Four voxels below it the scans must agree by what is inside. Body is the largest bright part (Otsu 1979) with what
    it encloses in any slice. Both are smoothed a little, because noise lowers correlation as another patient does.
    """
    if scene.dimension != 3:
        return None
    moved = warped(scene, candidate.transform())
    body = _body(scene.fixed)
    image = sitk.GetImageFromArray(moved)
    inside = ndimage.binary_erosion(body & _body(image), iterations=_RIND_VOXELS)
    if not inside.any():
        return None
    fixed, calm = (
        ndimage.gaussian_filter(array, _NOISE_SIGMA_VOXELS) for array in (sitk.GetArrayFromImage(scene.fixed), moved)
    )
    return local_correlation(fixed, calm, inside)


def _body(image: sitk.Image) -> NDArray[np.bool_]:
    bright: NDArray[np.bool_] = sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1)) > 0
    parts, number = ndimage.label(bright)
    if not number:
        return bright
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    body: NDArray[np.bool_] = largest
    for axis in range(image.GetDimension()):
        slices = np.moveaxis(largest, axis, 0)
        body = body | np.moveaxis(np.stack([ndimage.binary_fill_holes(part) for part in slices]), 0, axis)
    return body


def _fit(scene: Scene, axis: int | None) -> float:
    n = scene.dimension
    signs = np.ones(n)
    if axis is not None:
        signs[axis] = -1.0
    directions = np.reshape(scene.moving.GetDirection(), (n, n))
    matrix = directions @ np.diag(signs) @ directions.T * scene.size_ratio
    start = Candidate(matrix, scene.moving_center - matrix @ scene.fixed_center)
    try:
        return _total(score(scene, register_linear(scene, "affine", start, factors=(2,))))
    except RegistrationError:
        return _total(score(scene, start))


def _total(scores: Scores) -> float:
    return scores.correlation + (0.0 if scores.organ_dice is None else scores.organ_dice)


def _coarser(scene: Scene) -> Scene:
    def halved(image: sitk.Image) -> sitk.Image:
        return sitk.Shrink(image, [_COARSER] * scene.dimension)

    masks = scene.fixed_mask, scene.moving_mask
    fixed_mask, moving_mask = (None if mask is None else halved(mask) for mask in masks)
    return replace(
        scene,
        fixed=halved(scene.fixed),
        moving=halved(scene.moving),
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
    )
