"""A proposed alignment in the scene's coordinates: an affine map, and a displacement field before it."""

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray

from trialscan.registration.scene import Scene

QUANTUM_PER_MM = 32
FADE_MM = 30.0
_FADE_INSIDE_VOXELS = 8


@dataclass(frozen=True)
class Candidate:
    """Maps a fixed point p to matrix · (p + warp(p)) + offset; the field, if any, lies on the fixed working grid."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    warp: sitk.Image | None = None

    @classmethod
    def of(cls, transform: sitk.Transform, dimension: int) -> "Candidate":
        """The affine part of any linear SimpleITK transform, whatever its parameters."""
        origin = np.asarray(transform.TransformPoint([0.0] * dimension))
        columns = [np.asarray(transform.TransformPoint(row.tolist())) - origin for row in np.eye(dimension)]
        return cls(np.stack(columns, axis=1), origin)

    def affine(self) -> sitk.AffineTransform:
        """The affine part alone."""
        return affine_transform(self.matrix, self.offset)

    def transform(self) -> sitk.CompositeTransform:
        """The whole map, fixed → moving."""
        return compose(self.affine(), self.warp)

    def about(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        """Translation of the affine part when its matrix acts about `center`."""
        moved: NDArray[np.float64] = self.matrix @ center + self.offset - center
        return moved


def affine_transform(matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> sitk.AffineTransform:
    """x → matrix · x + offset."""
    transform = sitk.AffineTransform(len(offset))
    transform.SetMatrix(matrix.ravel().tolist())
    transform.SetTranslation(offset.tolist())
    return transform


def compose(affine: sitk.AffineTransform, warp: sitk.Image | None) -> sitk.CompositeTransform:
    """The field's displacement first, then the affine map (ITK applies the transform added last first)."""
    whole = sitk.CompositeTransform(affine.GetDimension())
    whole.AddTransform(affine)
    if warp is not None:
        whole.AddTransform(sitk.DisplacementFieldTransform(sitk.Image(warp)))
    return whole


def compose_inverse(affine: sitk.AffineTransform, inverse_warp: sitk.Image | None) -> sitk.CompositeTransform:
    """The affine map undone first, then the inverse field's displacement."""
    whole = sitk.CompositeTransform(affine.GetDimension())
    if inverse_warp is not None:
        whole.AddTransform(sitk.DisplacementFieldTransform(sitk.Image(inverse_warp)))
    whole.AddTransform(affine.GetInverse())
    return whole


def fade_padding(scene: Scene) -> list[int]:
    """Voxels along i, j, k by which a field outgrows the fixed working grid; none without masks."""
    if scene.fixed_mask is None:
        return [0] * scene.dimension
    return [math.ceil(FADE_MM / step) for step in scene.fixed.GetSpacing()]


def settle(warp: sitk.Image, scene: Scene) -> sitk.Image:
    """Let a field on the fixed working grid fade to zero around it, and round it to 1/32 mm.

    The last values are carried outwards and weighted by a raised cosine. The rounded field is what every number is
    measured with, so that its file holds it exactly.
    """
    padding = fade_padding(scene)
    values = sitk.GetArrayFromImage(warp).astype(np.float64)
    values = np.pad(values, [(n, n) for n in padding[::-1]] + [(0, 0)], mode="edge")
    for axis, outside in enumerate(padding[::-1]):
        ramp = _ramp(values.shape[axis], outside or _FADE_INSIDE_VOXELS)
        values *= np.expand_dims(ramp, [other for other in range(values.ndim) if other != axis])
    settled = _rounded(values)
    settled.SetSpacing(scene.fixed.GetSpacing())
    settled.SetDirection(scene.fixed.GetDirection())
    settled.SetOrigin(scene.fixed.TransformIndexToPhysicalPoint([-n for n in padding]))
    return settled


def invert(warp: sitk.Image) -> sitk.Image:
    """The field that undoes `warp`, on the same grid, rounded to 1/32 mm; quality measures how well it does."""
    filter_ = sitk.InvertDisplacementFieldImageFilter()
    filter_.SetNumberOfThreads(1)
    filter_.SetMaximumNumberOfIterations(40)
    filter_.SetMaxErrorToleranceThreshold(0.02)
    filter_.SetMeanErrorToleranceThreshold(0.001)
    inverse = _rounded(sitk.GetArrayFromImage(filter_.Execute(warp)))
    inverse.CopyInformation(warp)
    return inverse


def _rounded(values: NDArray[np.float64]) -> sitk.Image:
    return sitk.GetImageFromArray(np.round(values * QUANTUM_PER_MM) / QUANTUM_PER_MM, isVector=True)


def _ramp(length: int, fade: int) -> NDArray[np.float64]:
    """0 at both ends, 1 from `fade` voxels inwards."""
    steps = np.minimum(np.arange(length), np.arange(length)[::-1])
    ramp: NDArray[np.float64] = 0.5 * (1 - np.cos(np.pi * np.minimum(steps / fade, 1.0)))
    return ramp
