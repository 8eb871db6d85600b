"""Whether probabilities say how often a voxel is a lesion: reliability, expected calibration error, Brier score.

Voxels are sorted into ten bins of equal width by the predicted probability of foreground; in each, the mean probability
is held against the share of voxels that the reference holds. The expected calibration error is the mean of the absolute
gaps, weighted by the bins' voxels (Guo et al., ICML 2017), the Brier score the mean squared difference between
probability and truth. Background far from any lesion is certain and would drown both, so they are taken over the box
around reference and prediction, widened by 10 mm (on boxes for this purpose: Mehrtash et al., IEEE Trans Med Imaging
2020; 39: 3868).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import ImagingError
from trialscan.segmentation.metrics import Mask

BINS = 10
MARGIN_MM = 10.0
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Sums over voxels by bin of predicted probability, and the sum of squared differences over all; they add up."""

    voxels: Floats
    probability: Floats
    foreground: Floats
    squared: float

    def __add__(self, other: "Reliability") -> "Reliability":
        """Both taken together."""
        return Reliability(
            self.voxels + other.voxels,
            self.probability + other.probability,
            self.foreground + other.foreground,
            self.squared + other.squared,
        )

    @property
    def brier_score(self) -> float:
        """Mean squared difference between probability and truth."""
        return self.squared / float(self.voxels.sum())

    @property
    def expected_calibration_error(self) -> float:
        """Mean absolute gap between probability and share of foreground, bins weighted by their voxels."""
        return float(np.abs(self.probability - self.foreground).sum() / self.voxels.sum())

    def table(self) -> list[dict[str, Any]]:
        """A row a bin; means are None in an empty one."""
        rows: list[dict[str, Any]] = []
        for place in range(BINS):
            count = float(self.voxels[place])
            row: dict[str, Any] = {
                "from_probability": place / BINS,
                "to_probability": (place + 1) / BINS,
                "voxels": int(count),
            }
            row["mean_probability"] = float(self.probability[place]) / count if count else None
            row["foreground_share"] = float(self.foreground[place]) / count if count else None
            rows.append(row)
        return rows


def reliability(probabilities: NDArray[np.floating[Any]], reference: Mask, where: str) -> Reliability:
    """Sort the voxels of an array of probabilities by what they say.

    Raises
    ------
    ImagingError
        A value is no number from 0 to 1; `where` names the file.
    """
    values = probabilities.astype(np.float64).ravel()
    if not ((values >= 0) & (values <= 1)).all():
        raise ImagingError(
            where,
            f"values from {np.nanmin(values):g} to {np.nanmax(values):g}, {int(np.isnan(values).sum())} not a number",
            "probabilities of foreground from 0 to 1",
        )
    truth = reference.ravel().astype(np.float64)
    places = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    voxels, probability, foreground = (
        np.bincount(places, weights=weights, minlength=BINS).astype(np.float64) for weights in (None, values, truth)
    )
    return Reliability(voxels, probability, foreground, float(((values - truth) ** 2).sum()))


def widened(box: tuple[slice, slice, slice], spacing: tuple[float, float, float], shape: tuple[int, ...]) -> Any:  # noqa: ANN401
    """A box 10 mm (or pixels, where that is the spacing's unit) larger on every side, within the scan."""
    margins = [math.ceil(MARGIN_MM / step) for step in spacing]
    ends = zip(box, margins, shape, strict=True)
    return tuple(slice(max(0, part.start - add), min(length, part.stop + add)) for part, add, length in ends)
