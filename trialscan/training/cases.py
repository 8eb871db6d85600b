"""Training cases: images and labels on the model's grid, kept as compressed arrays so that they are made once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.errors import UsageError

FIRST_LESION = 2


@dataclass(frozen=True, eq=False)
class Case:
    """One image and its labels on the model's grid.

    `image` is (i, j, k): HU of a scan, or grey levels 0 … 1 of a radiograph (k = 1), in half precision, which is
    finer than a scanner's noise. `labels` holds the model's
    classes. `boxes` (n, 2, 3) holds the first and the last-plus-one index of each lung, for crops to one lung.
    """

    image: NDArray[np.float16]
    labels: NDArray[np.uint8]
    boxes: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse an image whose labels lie on another grid."""
        if self.image.shape != self.labels.shape:
            raise UsageError("case", f"labels of shape {self.labels.shape}", f"the image's {self.image.shape}")

    @cached_property
    def lesions(self) -> list[NDArray[np.int64]]:
        """Flat indices of the voxels of each face-connected lesion (labels from 2 on)."""
        pieces, count = ndimage.label(self.labels >= FIRST_LESION)
        voxels = np.flatnonzero(pieces)
        of_piece = pieces.ravel()[voxels]
        ends = np.cumsum(np.bincount(of_piece, minlength=count + 1)[1:])
        return np.split(voxels[np.argsort(of_piece, kind="stable")], ends[:-1]) if count else []


def save_case(path: Path, case: Case) -> None:
    """Write a case, whole or not at all."""
    partial = path.with_suffix(".part")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, image=case.image, labels=case.labels, boxes=case.boxes)
    partial.replace(path)


def load_case(path: Path) -> Case:
    """Read a case that `save_case` wrote."""
    with np.load(path) as content:
        return Case(content["image"], content["labels"], content["boxes"])


def lung_boxes(organ: NDArray[np.integer]) -> NDArray[np.int64]:
    """Bounding boxes (n, 2, 3) of the sides present in an organ mask of 1 left and 2 right."""
    boxes = []
    for side in (1, 2):
        where = np.nonzero(organ == side)
        if where[0].size:
            boxes.append([[axis.min() for axis in where], [axis.max() + 1 for axis in where]])
    return np.array(boxes, dtype=np.int64).reshape(-1, 2, 3)
