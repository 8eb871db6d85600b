"""Rigid, similarity and affine registration by SimpleITK: correlation over every voxel, no random samples."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from scipy import ndimage

from trialscan.errors import RegistrationError
from trialscan.registration.candidate import Candidate
from trialscan.registration.scene import INTENSITY_SCALE, Scene
from trialscan.registration.threads import one_itk_thread

_ITERATIONS = 120
_FIRST_STEP = 1.0
_LAST_STEP = 0.01
_RELAXATION = 0.8
_SMALLEST_SIDE = 8
_SHADING_MM = 10.0
_FAINTEST = 0.02


def pyramid(image: sitk.Image, factors: tuple[int, ...]) -> list[int]:
    """The factors that leave at least eight voxels along every axis; never none."""
    kept = [factor for factor in factors if min(image.GetSize()) // factor >= _SMALLEST_SIDE]
    return kept or [1]


def register_linear(scene: Scene, kind: str, start: Candidate, factors: tuple[int, ...]) -> Candidate:
    """Improve the affine part of `start` as a "rigid", "similarity" or "affine" transform, grid by shrunken grid.

    Correlation ignores a change of gain between scans and, on levelled pictures, the shading of MR. All voxels count on
    every level, in one thread, so that the result does not depend on a seed or on the machine's cores.

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
            method.Execute(*(levelled(image) if scene.shaded else image for image in (scene.fixed, scene.moving)))
    except RuntimeError as error:
        raise RegistrationError(kind, "ITK could not optimise", "scans that overlap and hold some contrast") from error
    return Candidate.of(transform, scene.dimension)


def levelled(image: sitk.Image) -> sitk.Image:
    """The picture less its local mean, over its local deviation: details without the shading of the coils."""
    values = sitk.GetArrayFromImage(image).astype(np.float64)
    sigma = [_SHADING_MM / step for step in image.GetSpacing()[::-1]]
    mean = ndimage.gaussian_filter(values, sigma, truncate=3)
    variance = ndimage.gaussian_filter(values * values, sigma, truncate=3) - mean**2
    flat = (values - mean) / np.sqrt(np.maximum(variance, 0) + (_FAINTEST * INTENSITY_SCALE) ** 2)
    level = sitk.GetImageFromArray((flat * INTENSITY_SCALE).astype(np.float32))
    level.CopyInformation(image)
    return level


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
