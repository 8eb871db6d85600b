"""Which slice of a scan is shown, and the picture grid that cuts it out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.imaging import Units, Volume, reorient

MARGIN_MM = 10.0
LONGEST_SIDE_PX = 600
_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))


@dataclass(frozen=True, eq=False)
class SlicePosition:
    """A rectangle of one slice, as a grid of square pixels.

    Parameters
    ----------
    affine : 4×4, maps (column, row, 0, 1) of the picture to LPS mm (pixels where spacing is unknown).
    shape : columns and rows of the picture.
    chosen_by : why this slice: "lesion area", "organ centre", "image centre" or "whole image".
    spacing_known : False where the picture's scale is unknown.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int]
    chosen_by: str
    spacing_known: bool

    def grid(self) -> Volume:
        """The picture's grid as an empty label volume of shape (columns, rows, 1)."""
        empty = np.zeros((*self.shape, 1), dtype=np.uint8)
        return Volume(empty, self.affine, Units.LABEL, spacing_known=self.spacing_known)

    @property
    def pixel_size(self) -> float:
        """Edge of a pixel in mm (in source pixels where spacing is unknown)."""
        return float(np.linalg.norm(self.affine[:3, 0]))

    @property
    def center(self) -> tuple[float, float, float]:
        """LPS position of the picture's centre."""
        middle = np.array([(self.shape[0] - 1) / 2, (self.shape[1] - 1) / 2, 0.0, 1.0])
        x, y, z, _ = self.affine @ middle
        return float(x), float(y), float(z)


def choose_slice(lesions: Volume | None, organ: Volume | None, image: Volume) -> SlicePosition:
    """The axial slice with the largest lesion area, else through the organ's centre, else the middle of the image.

    The picture is cropped to the organ's bounding box and a margin of 10 mm; its pixels are square, no finer than the
    scan's and at most 600 a side. A planar image is shown whole, in the orientation of its file.
    """
    if image.is_planar:
        return _picture(image, (0, 0), (image.shape[0] - 1, image.shape[1] - 1), 0, "whole image")
    upright = reorient(image)
    lesion_mask = None if lesions is None else reorient(lesions).array > 0
    organ_mask = None if organ is None else reorient(organ).array > 0
    index, chosen_by = _index(lesion_mask, organ_mask, upright.shape[2])
    low, high = _bounds(organ_mask, upright)
    return _picture(upright, low, high, index, chosen_by)


def orientation_letters(affine: NDArray[np.float64]) -> dict[str, str]:
    """Anatomical letters at the edges of a picture, from the affine (LPS) of its columns and rows."""
    letters = {}
    for axis, (start, end) in enumerate((("left", "right"), ("top", "bottom"))):
        step = affine[:3, axis]
        main = int(np.abs(step).argmax())
        towards, away = _LETTERS[main] if step[main] > 0 else _LETTERS[main][::-1]
        letters[start], letters[end] = away, towards
    return letters


def _index(lesions: NDArray[np.bool_] | None, organ: NDArray[np.bool_] | None, slices: int) -> tuple[int, str]:
    if lesions is not None and lesions.any():
        return int(lesions.sum(axis=(0, 1)).argmax()), "lesion area"
    if organ is not None and organ.any():
        area = organ.sum(axis=(0, 1))
        return round(float(np.average(np.arange(slices), weights=area))), "organ centre"
    return slices // 2, "image centre"


def _bounds(organ: NDArray[np.bool_] | None, image: Volume) -> tuple[tuple[int, int], tuple[int, int]]:
    limits = []
    for axis in (0, 1):
        last = image.shape[axis] - 1
        inside = np.arange(0) if organ is None else np.flatnonzero(organ.any(axis=(1 - axis, 2)))
        if inside.size == 0:
            limits.append((0, last))
            continue
        margin = round(MARGIN_MM / image.grid_spacing[axis])
        limits.append((max(0, int(inside[0]) - margin), min(last, int(inside[-1]) + margin)))
    (low_i, high_i), (low_j, high_j) = limits
    return (low_i, low_j), (high_i, high_j)


def _picture(image: Volume, low: tuple[int, int], high: tuple[int, int], index: int, chosen_by: str) -> SlicePosition:
    spacing = np.array(image.grid_spacing[:2])
    extent = (np.array(high) - np.array(low) + 1) * spacing
    pixel = max(float(spacing.min()), float(extent.max()) / LONGEST_SIDE_PX)
    columns, rows = (int(n) for n in np.maximum(1, np.floor(extent / pixel + 1e-6)))
    corner = np.array([*low, index], dtype=np.float64) - 0.5 * np.array([1, 1, 0])
    half_pixel = 0.5 * pixel / spacing
    affine = np.eye(4)
    affine[:3, :3] = image.direction * np.array([pixel, pixel, image.grid_spacing[2]])
    affine[:3, 3] = image.to_world((corner + np.array([*half_pixel, 0.0]))[None])[0]
    return SlicePosition(affine, (columns, rows), chosen_by, image.spacing_known)
