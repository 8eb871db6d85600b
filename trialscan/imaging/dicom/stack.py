"""Slices put in order by where they lie, and refused when they are not one gapless upright stack.

Missing slices are never filled in: a gap would read as thicker slices, and every volume after it would be wrong.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import GeometryError
from trialscan.imaging.dicom.slices import Slice

_RELATIVE_GAP = 0.01
_SMALLEST_GAP_MM = 0.01
_SIDE_SHIFT_MM = 0.1
_DIRECTION_TOLERANCE = 1e-3


def order_slices(where: str, slices: Sequence[Slice]) -> tuple[tuple[Slice, ...], NDArray[np.float64]]:
    """Sort positioned slices along their normal; give them and the 4×4 affine (column, row, slice) → LPS mm.

    Parameters
    ----------
    where : name of the file or folder, for messages.
    slices : planes that all have position, orientation and pixel spacing.

    Raises
    ------
    GeometryError
        Slices differ in size, spacing or orientation, share a place, leave a gap, or lean (a tilted gantry).
    """
    _check_alike(where, slices)
    first = slices[0]
    along_row, down_column = _orthonormal(where, first)
    normal = np.cross(along_row, down_column)
    ordered = tuple(sorted(slices, key=lambda item: float(_position(item) @ normal)))
    positions = np.array([_position(item) for item in ordered])
    gap = first.thickness or first.declared_gap or 1.0
    if len(ordered) > 1:
        depths = positions @ normal
        _check_duplicates(where, ordered, depths)
        _check_upright(where, positions, normal)
        _check_gaps(where, ordered, depths)
        gap = float(depths[-1] - depths[0]) / (len(ordered) - 1)
        _check_every_nth(where, ordered, gap)
    between_rows, between_columns = first.pixel_spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0] = along_row * between_columns
    affine[:3, 1] = down_column * between_rows
    affine[:3, 2] = normal * gap
    affine[:3, 3] = positions[0]
    return ordered, affine


def _position(item: Slice) -> NDArray[np.float64]:
    if item.position is None:
        raise GeometryError(item.label, "no ImagePositionPatient", "a place for every slice")
    return item.position


def _axes(item: Slice) -> NDArray[np.float64]:
    if item.orientation is None:
        raise GeometryError(item.label, "no ImageOrientationPatient", "an orientation for every slice")
    return item.orientation


def _check_alike(where: str, slices: Sequence[Slice]) -> None:
    first = slices[0]
    for item in slices:
        if item.size != first.size:
            raise GeometryError(
                where, f"{item.label} of {item.size} pixels beside {first.label} of {first.size}", "one size"
            )
        if not np.allclose(item.pixel_spacing or (), first.pixel_spacing or (), atol=1e-4):
            raise GeometryError(
                where, f"{item.label} of {item.pixel_spacing} mm beside {first.pixel_spacing}", "one pixel spacing"
            )
        if not np.allclose(_axes(item), _axes(first), atol=_DIRECTION_TOLERANCE):
            raise GeometryError(where, f"{item.label} is turned against {first.label}", "one orientation")


def _orthonormal(where: str, item: Slice) -> NDArray[np.float64]:
    axes = _axes(item)
    if np.abs(axes @ axes.T - np.eye(2)).max() > _DIRECTION_TOLERANCE:
        raise GeometryError(where, f"ImageOrientationPatient {axes.ravel().tolist()}", "two perpendicular unit vectors")
    row = axes[0] / np.linalg.norm(axes[0])
    column = axes[1] - (axes[1] @ row) * row
    return np.array([row, column / np.linalg.norm(column)])


def _check_duplicates(where: str, ordered: Sequence[Slice], depths: NDArray[np.float64]) -> None:
    for (before, after), step in zip(pairwise(ordered), np.diff(depths), strict=True):
        if step < _SMALLEST_GAP_MM:
            raise GeometryError(
                where,
                f"{before.label} and {after.label} lie at the same place",
                "one image a slice position",
                "Remove the copy, or keep one time point only.",
            )


def _check_upright(where: str, positions: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    shift = positions - positions[0]
    sideways = shift - np.outer(shift @ normal, normal)
    worst = int(np.linalg.norm(sideways, axis=1).argmax())
    if np.linalg.norm(sideways[worst]) > _SIDE_SHIFT_MM:
        angle = np.degrees(np.arctan2(np.linalg.norm(sideways[worst]), shift[worst] @ normal))
        raise GeometryError(
            where,
            f"slices stacked at {angle:.1f} degrees to their normal (tilted gantry)",
            "slices stacked along their normal",
            "Resample the series to an upright grid first.",
        )


def _check_gaps(where: str, ordered: Sequence[Slice], depths: NDArray[np.float64]) -> None:
    steps = np.diff(depths)
    usual = median_low(steps.tolist())
    tolerance = max(_RELATIVE_GAP * usual, _SMALLEST_GAP_MM)
    for (before, after), depth, step in zip(pairwise(ordered), depths, steps, strict=False):
        if abs(step - usual) > tolerance:
            raise GeometryError(
                where,
                f"{step:.3f} mm between {before.label} (at {depth:.2f} mm) and {after.label}",
                f"{usual:.3f} mm as elsewhere",
                "Slices are missing or misplaced; export the series again.",
            )


def _check_every_nth(where: str, ordered: Sequence[Slice], gap: float) -> None:
    """Even spacing hides that every second slice is lost; numbering and the declared spacing together tell."""
    numbers = [item.number for item in ordered if item.number is not None]
    declared = ordered[0].declared_gap or ordered[0].thickness
    steps = {abs(after - before) for before, after in pairwise(numbers)}
    if len(numbers) != len(ordered) or len(steps) != 1 or declared is None:
        return
    step = steps.pop()
    if step > 1 and abs(gap - step * declared) <= _RELATIVE_GAP * gap:
        raise GeometryError(
            where,
            f"only every {step}. instance, {gap:.3f} mm apart",
            f"slices every {declared:.3f} mm as the header says",
        )
