"""From probabilities on the model's grid to labels on the scan's own voxels, where there is anything but background."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trialscan.imaging import Reorientation, occupied_box
from trialscan.segmentation.cleaning import most_probable
from trialscan.segmentation.resampling import axis_weights, weigh_axis

_CHUNK_VALUES = 4_000_000
_LEAST_PERCENT = 0.5
_SURE_PERCENT, _POSSIBLE_PERCENT = 90, 10


@dataclass(frozen=True, eq=False)
class NativeAnswer:
    """Labels of the scan's voxels, and each foreground label's mean probability over its voxels.

    percent : the lesions' probability in whole percent; None where no labels are lesions.
    sure, possible : voxels in which that reaches 90 %, and 10 %.
    """

    labels: NDArray[np.uint8]
    probability: dict[int, float]
    percent: NDArray[np.uint8] | None
    sure: int
    possible: int


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Along one axis: the native voxels concerned, the model's between which they lie, and weights (native, model)."""

    native: slice
    model: slice
    weights: Tensor


def to_native_grid(
    probabilities: Tensor, lesion: Tensor | None, turn: Reorientation | None, shape: tuple[int, int, int]
) -> NativeAnswer:
    """The most probable label of every voxel of the scan.

    Both are interpolated linearly, so that a voxel among model voxels which are all background is background: only the
    box around the others is worked, a few slices at a time.

    Parameters
    ----------
    probabilities : (classes, i, j, k), class 0 is background, after cleaning.
    lesion : (i, j, k), of all lesion labels together before uncertain lesions were taken back.
    turn : how the scan's axes were turned for the model; None for not at all.
    shape : the scan's own.
    """
    labels = np.zeros(shape, np.uint8, order="F")
    percent = None if lesion is None else np.zeros_like(labels)
    views = [array if turn is None else turn.view(array) for array in (labels, percent) if array is not None]
    tally = _Tally(np.zeros(len(probabilities)), np.zeros(len(probabilities)))
    box = occupied_box(_foreground(probabilities, lesion).cpu().numpy())
    if box is not None:
        grids = zip(probabilities.shape[1:], views[0].shape, box, strict=True)
        i, j, k = (_stretch(model, native, occupied) for model, native, occupied in grids)
        channels = probabilities if lesion is None else torch.cat([probabilities, lesion[None]])
        crop = channels[:, i.model, j.model, k.model].permute(3, 0, 2, 1).contiguous()
        chunk = max(1, _CHUNK_VALUES // (len(channels) * len(i.weights) * len(j.weights)))
        for first in range(0, len(k.weights), chunk):
            slab = weigh_axis(crop, 0, k.weights[first : first + chunk])
            slab = weigh_axis(weigh_axis(slab, 2, j.weights), 3, i.weights).transpose(0, 1)
            start = k.native.start + first
            place = (i.native, j.native, slice(start, start + slab.shape[1]))
            label, best = (found.cpu().numpy() for found in most_probable(slab[: len(probabilities)]))
            views[0][place] = label.transpose(2, 1, 0)
            tally.add_labels(label, best)
            if lesion is not None:
                part = (100.0 * slab[-1]).round_().clamp_(0, 100).to(torch.uint8).cpu().numpy()
                views[1][place] = part.transpose(2, 1, 0)
                tally.add_percent(part)
    return NativeAnswer(labels, tally.mean(), percent, tally.sure, tally.possible)


@dataclass
class _Tally:
    """Voxels and summed probability of each label, and voxels in which a lesion is sure, and possible."""

    count: NDArray[np.float64]
    total: NDArray[np.float64]
    sure: int = 0
    possible: int = 0

    def add_labels(self, label: NDArray[np.uint8], best: NDArray[np.float32]) -> None:
        found = label > 0
        self.count += np.bincount(label[found], minlength=len(self.count))
        self.total += np.bincount(label[found], weights=best[found], minlength=len(self.total))

    def add_percent(self, percent: NDArray[np.uint8]) -> None:
        self.sure += int(np.count_nonzero(percent >= _SURE_PERCENT))
        self.possible += int(np.count_nonzero(percent >= _POSSIBLE_PERCENT))

    def mean(self) -> dict[int, float]:
        labels = range(1, len(self.count))
        return {label: float(self.total[label] / self.count[label]) for label in labels if self.count[label]}


def _foreground(probabilities: Tensor, lesion: Tensor | None) -> Tensor:
    """Where the model's grid has a label, or half a percent of lesion, which is what rounds to one percent."""
    labelled = most_probable(probabilities)[0] > 0
    return labelled if lesion is None else labelled | (100.0 * lesion >= _LEAST_PERCENT)


def _stretch(model: int, native: int, occupied: slice) -> _Stretch:
    """What along one axis the occupied part of the model's grid has any weight in."""
    weights = axis_weights(model, native)
    touched = torch.nonzero((weights[:, occupied] > 0).any(dim=1))[:, 0]
    if len(touched) == 0:
        return _Stretch(slice(0, 0), occupied, weights[:0, occupied])
    rows = slice(int(touched[0]), int(touched[-1]) + 1)
    used = torch.nonzero((weights[rows] > 0).any(dim=0))[:, 0]
    columns = slice(int(used[0]), int(used[-1]) + 1)
    return _Stretch(rows, columns, weights[rows, columns])
