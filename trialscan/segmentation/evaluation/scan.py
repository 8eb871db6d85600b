"""One predicted mask against its reference: a row for all labels together and for each, and a row a lesion."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.errors import GeometryError, UsageError
from trialscan.imaging import Box, Volume
from trialscan.segmentation.evaluation.calibration import Reliability, reliability, widened
from trialscan.segmentation.evaluation.lesionwise import Row, lesion_rows, match_lesions
from trialscan.segmentation.metrics import Grid, Mask, common_grid, compare_crops

ANY = "any"


@dataclass(frozen=True)
class Criteria:
    """What counts as found, and in which size bands.

    Parameters
    ----------
    bands_ml : lower ends of the bands of lesion volume but the first, which begins at 0; rising, in ml.
    least_overlap : the share of a lesion, from 0 to below 1, that the other mask must exceed; 0: any common voxel.

    Raises
    ------
    UsageError
        The bands do not rise from above 0, or the share is outside its range.
    """

    bands_ml: tuple[float, ...] = (0.1, 0.5, 2.0, 10.0)
    least_overlap: float = 0.0

    def __post_init__(self) -> None:
        """Check both."""
        ends = (0.0, *self.bands_ml)
        if not all(low < high < float("inf") for low, high in pairwise(ends)):
            raise UsageError("bands", ", ".join(f"{end:g}" for end in self.bands_ml), "rising volumes in ml above 0")
        if not 0 <= self.least_overlap < 1:
            raise UsageError("lesion overlap", f"{self.least_overlap:g}", "a share from 0 to below 1")


@dataclass(frozen=True)
class ScanResult:
    """Rows by label (`any`: every positive label together), a row a lesion and label, and the reliability if asked."""

    grid: Grid
    rows: dict[str, Row]
    lesions: tuple[Row, ...]
    reliability: Reliability | None


def compare_scan(
    predicted: Volume, reference: Volume, criteria: Criteria, probabilities: Volume | None = None, where: str = ""
) -> ScanResult:
    """Compare two label masks, and if given the probabilities of foreground, on one grid.

    `where` names the file of the probabilities in errors.

    Raises
    ------
    GeometryError
        They lie on different grids.
    ImagingError
        A probability is no number from 0 to 1.
    """
    grid = common_grid(predicted, reference)
    boxes = [_label_boxes(mask.array) for mask in (predicted, reference)]
    labels = sorted(set(boxes[0]) | set(boxes[1]))
    whole = _hull(box for each in boxes for box in each.values())
    rows: dict[str, Row] = {}
    lesions: list[Row] = []
    for label in (None, *labels):
        box = whole if label is None else _hull(each[label] for each in boxes if label in each)
        first, second = (_inside(mask.array[box], label) for mask in (predicted, reference))
        name = ANY if label is None else str(label)
        rows[name], found = _compare(first, second, grid, [part.start for part in box], criteria)
        lesions += [{"label": name} | row for row in found]
    calibrated = None
    if probabilities is not None:
        calibrated = _reliability(probabilities, reference, whole if labels else None, where)
        rows[ANY] |= calibration_measures(calibrated)
    return ScanResult(grid, rows, tuple(lesions), calibrated)


def absent_label(grid: Grid) -> Row:
    """The row of a label that neither mask holds."""
    nothing = np.zeros((1, 1, 1), np.bool_)
    return _compare(nothing, nothing, grid, (0, 0, 0), Criteria())[0]


def calibration_measures(found: Reliability) -> dict[str, float]:
    """The measures of calibration by name."""
    return {
        "expected_calibration_error": found.expected_calibration_error,
        "brier_score": found.brier_score,
    }


def _compare(
    predicted: Mask, reference: Mask, grid: Grid, corner: Iterable[int], criteria: Criteria
) -> tuple[Row, list[Row]]:
    match = match_lesions(predicted, reference, criteria.least_overlap)
    row = compare_crops(predicted, reference, grid) | match.measures()
    return row, lesion_rows(match, grid, list(corner), criteria.bands_ml)


def _label_boxes(labels: NDArray[Any]) -> dict[int, Box]:
    found = ndimage.find_objects(labels)
    return {label: (box[0], box[1], box[2]) for label, box in enumerate(found, start=1) if box is not None}


def _hull(boxes: Iterable[Box]) -> Box:
    """The smallest box around others; the first voxel where there are none."""
    every = list(boxes) or [(slice(0, 1), slice(0, 1), slice(0, 1))]
    ends = [slice(min(box[axis].start for box in every), max(box[axis].stop for box in every)) for axis in range(3)]
    return ends[0], ends[1], ends[2]


def _inside(labels: NDArray[Any], label: int | None) -> Mask:
    mask: Mask = labels > 0 if label is None else labels == label
    return mask


def _reliability(probabilities: Volume, reference: Volume, box: Box | None, where: str) -> Reliability:
    known = probabilities.spacing_known and reference.spacing_known
    if probabilities.shape != reference.shape or (known and not probabilities.same_grid(reference)):
        found = f"probabilities of shape {probabilities.shape}"
        raise GeometryError(where, found, f"the grid of the masks, of shape {reference.shape}")
    region = ... if box is None else widened(box, reference.grid_spacing, reference.shape)
    return reliability(probabilities.array[region], reference.array[region] > 0, where)
