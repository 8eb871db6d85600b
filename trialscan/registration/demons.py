"""Deformable registration by symmetric-force demons (Thirion 1998; Vercauteren et al. 2007) from coarse to fine."""

import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import RegistrationError
from trialscan.registration.bridging import over_lesions
from trialscan.registration.candidate import Candidate, settle
from trialscan.registration.linear import pyramid
from trialscan.registration.scene import Scene

_ITERATIONS = {4: 120, 2: 60, 1: 15}
_LONGEST_STEP_VOXELS = 0.5
_FIELD_SIGMA_MM = 3.6
_LEAST_SIGMA_VOXELS = 1.5


def register_demons(scene: Scene, start: Candidate) -> Candidate:
    """Add a displacement field to the affine part of `start`; short steps keep the field from folding.

    On every level it is smoothed by a Gaussian of as many voxels as 3.6 mm are on the working grid, at least 1.5.
    Inside lesions, which the pictures do not show, the field follows what surrounds them, after every level.

    Raises
    ------
    RegistrationError
        ITK could not run on these images.
    """
    sigma = max(_LEAST_SIGMA_VOXELS, _FIELD_SIGMA_MM / min(scene.fixed.GetSpacing()))
    try:
        moved = sitk.Resample(scene.moving, scene.fixed, start.affine(), sitk.sitkLinear, scene.background)
        field = None
        for factor in pyramid(scene.fixed, tuple(_ITERATIONS)):
            demons = _demons(_ITERATIONS[factor], sigma)
            field = _level(demons, shrunk(scene.fixed, factor), shrunk(moved, factor), field)
            field = over_lesions(scene, start, field)
        field = sitk.Resample(field, scene.fixed)
    except RuntimeError as error:
        raise RegistrationError("deformable", "ITK could not run demons", "images with some contrast") from error
    return Candidate(start.matrix, start.offset, settle(field, scene))


def _demons(iterations: int, sigma_voxels: float) -> sitk.FastSymmetricForcesDemonsRegistrationFilter:
    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfThreads(1)
    demons.SetNumberOfIterations(iterations)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(sigma_voxels)
    demons.SetMaximumUpdateStepLength(_LONGEST_STEP_VOXELS)
    return demons


def _level(
    demons: sitk.FastSymmetricForcesDemonsRegistrationFilter,
    fixed: sitk.Image,
    moved: sitk.Image,
    field: sitk.Image | None,
) -> sitk.Image:
    if field is None:
        return demons.Execute(fixed, moved)
    return demons.Execute(fixed, moved, sitk.Resample(field, fixed))


def shrunk(image: sitk.Image, factor: int) -> sitk.Image:
    """Every `factor`-th voxel of the smoothed image."""
    if factor == 1:
        return image
    variance = [(0.4 * factor * step) ** 2 for step in image.GetSpacing()]
    return sitk.Shrink(sitk.DiscreteGaussian(image, variance), [factor] * image.GetDimension())
