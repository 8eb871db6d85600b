"""Rigid, similarity and affine registration by SimpleITK: correlation over every voxel, no random samples."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import RegistrationError
from trialscan.registration.candidate import Candidate
from trialscan.registration.scene import Scene
from trialscan.registration.threads import one_itk_thread

_ITERATIONS = 120
_FIRST_STEP = 1.0
_LAST_STEP = 0.01
_RELAXATION = 0.8
_SMALLEST_SIDE = 8


def pyramid(image: sitk.Image, factors: tuple[int, ...]) -> list[int]:
    """The factors that leave at least eight voxels along every axis; never none."""
    kept = [factor for factor in factors if min(image.GetSize()) // factor >= _SMALLEST_SIDE]
    return kept or [1]


def register_linear(scene: Scene, kind: str, start: Candidate, factors: tuple[int, ...]) -> Candidate:
    """Improve the affine part of `start` as a "rigid", "similarity" or "affine" transform, grid by shrunken grid.

    Correlation ignores a change of gain between scans. All voxels count on every level, in one thread, so that the
    result does not depend on a seed or on the machine's cores.

    Raises
    ------
    RegistrationError
        ITK found no overlap or nothing to optimise.
    """
    transform = _starting(scene, kind, start)
    levels = pyramid(scene.fixed, factors)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        _FIRST_STEP, _LAST_STEP, _ITERATIONS, relaxationFactor=_RELAXATION, gradientMagnitudeTolerance=1e-7
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(levels)
    method.SetSmoothingSigmasPerLevel([factor / 2 for factor in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        with one_itk_thread():
            method.Execute(scene.fixed, scene.moving)
    except RuntimeError as error:
        raise RegistrationError(kind, "ITK could not optimise", "scans that overlap and hold some contrast") from error
    return Candidate.of(transform, scene.dimension)


def _starting(scene: Scene, kind: str, start: Candidate) -> sitk.Transform:
    flat = scene.dimension == 2
    transform = {
        "rigid": sitk.Euler2DTransform if flat else sitk.Euler3DTransform,
        "similarity": sitk.Similarity2DTransform if flat else sitk.Similarity3DTransform,
        "affine": lambda: sitk.AffineTransform(scene.dimension),
    }[kind]()
    transform.SetCenter(scene.fixed_center.tolist())
    transform.SetTranslation(start.about(scene.fixed_center).tolist())
    if kind == "affine":
        transform.SetMatrix(start.matrix.ravel().tolist())
    elif kind == "similarity":
        transform.SetScale(float(abs(np.linalg.det(start.matrix)) ** (1 / scene.dimension)))
    return transform
