"""The result of a registration: a map both ways, how good it is, and how it was come by."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from trialscan.errors import RegistrationError


class AlignmentStatus(StrEnum):
    """Use it, look at it first, or do not use it."""

    PASS = "pass"  # noqa: S105 - a verdict, no secret
    REVIEW = "review"
    FAIL = "fail"


@dataclass(frozen=True)
class Rung:
    """One attempt: which step, by which engine, its numbers, and why it was dropped (empty when kept)."""

    name: str
    engine: str
    kept: bool
    numbers: Mapping[str, float | None]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Alignment:
    """A follow-up aligned to its baseline; coordinates are LPS mm (pixels where the scans have no millimetres).

    Parameters
    ----------
    status : pass, review (look before trusting links between visits) or fail (use no link).
    rung : last rung kept: "none", "start", "rigid", "stretch", "similarity", "affine" or
        "deformable".
    engine : what made that rung: "ants", "simpleitk", or "none".
    quality : numbers by name; None where unknown. See docs/registration.md.
    rungs : every attempt in order.
    transform : composite of an affine map and, when deformable, a displacement field; maps baseline points to
        follow-up points (ITK's fixed → moving). `inverse` goes the other way.
    notes : why the status is not pass, in words.
    """

    status: AlignmentStatus
    rung: str
    engine: str
    quality: Mapping[str, float | None]
    rungs: tuple[Rung, ...]
    transform: sitk.CompositeTransform
    inverse: sitk.CompositeTransform
    notes: tuple[str, ...] = ()

    def to_followup(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map (n, 3) baseline LPS points to the follow-up; outside the field only the affine part acts."""
        return map_points(self.transform, points)

    def to_baseline(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map (n, 3) follow-up LPS points to the baseline."""
        return map_points(self.inverse, points)


def map_points(transform: sitk.CompositeTransform, points: ArrayLike) -> NDArray[np.float64]:
    """Apply a composite of affine maps and displacement fields to (n, d) points at once, as ITK does one by one.

    Raises
    ------
    RegistrationError
        The points are not an (n, d) array of finite numbers.
    """
    mapped: NDArray[np.float64] = np.array(points, dtype=np.float64)
    dimension = transform.GetDimension()
    if mapped.ndim != 2 or mapped.shape[1] != dimension or not np.isfinite(mapped).all():
        raise RegistrationError(
            "points", f"an array of shape {mapped.shape}", f"finite numbers, shape (n, {dimension})"
        )
    for number in reversed(range(transform.GetNumberOfTransforms())):
        part = transform.GetNthTransform(number).Downcast()
        mapped = _displaced(part, mapped) if isinstance(part, sitk.DisplacementFieldTransform) else _moved(part, mapped)
    return mapped


def _moved(part: sitk.AffineTransform, points: NDArray[np.float64]) -> NDArray[np.float64]:
    dimension = points.shape[1]
    center = np.asarray(part.GetCenter())
    matrix = np.reshape(part.GetMatrix(), (dimension, dimension))
    moved: NDArray[np.float64] = (points - center) @ matrix.T + center + np.asarray(part.GetTranslation())
    return moved


def _displaced(part: sitk.DisplacementFieldTransform, points: NDArray[np.float64]) -> NDArray[np.float64]:
    field = part.GetDisplacementField()
    dimension = points.shape[1]
    axes = np.reshape(field.GetDirection(), (dimension, dimension)) * np.asarray(field.GetSpacing())
    indices = (points - np.asarray(field.GetOrigin())) @ np.linalg.inv(axes).T
    values = sitk.GetArrayViewFromImage(field)
    shifts = [ndimage.map_coordinates(values[..., c], indices.T[::-1], order=1, cval=0.0) for c in range(dimension)]
    displaced: NDArray[np.float64] = points + np.stack(shifts, axis=1)
    return displaced
