"""Whether two aligned scans show the same organ at all, or one of them is mirrored."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import RegistrationError
from trialscan.registration.candidate import Candidate
from trialscan.registration.linear import register_linear
from trialscan.registration.quality import Scores, score
from trialscan.registration.scene import Scene

MIRROR_MARGIN = 0.1
_COARSER = 2
_COARSEN_FROM = 48


def mirrored_axis(scene: Scene) -> int | None:
    """The axis of the follow-up's grid along which a mirrored follow-up fits clearly better; None when none does.

    Compares affine fits that start straight and mirrored about the organ's centroid, by organ Dice and local
    correlation; large images are halved for it.
    """
    quick = _coarser(scene) if min(scene.fixed.GetSize()) >= _COARSEN_FROM else scene
    scores = [_fit(quick, axis) for axis in (None, *range(scene.dimension))]
    best = int(np.argmax(scores))
    return best - 1 if best > 0 and scores[best] > scores[0] + MIRROR_MARGIN else None


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
