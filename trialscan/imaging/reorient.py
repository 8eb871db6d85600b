"""Axes permuted and flipped, never interpolated."""

from dataclasses import dataclass, replace
from typing import Any, Self

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from trialscan.imaging.volume import Volume


@dataclass(frozen=True)
class Reorientation:
    """Which axis of the source becomes which, and which are then reversed.

    Attributes
    ----------
    source_axes : output axis n is the source's axis ``source_axes[n]``.
    flipped : whether output axis n runs against the source's.
    """

    source_axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @classmethod
    def to_lps(cls, volume: Volume) -> Self:
        """The reorientation that brings i, j, k as close to Left, Posterior, Superior as they get."""
        target = nib.io_orientation(volume.affine)
        order = np.argsort(target[:, 0])
        flips = target[order, 1] < 0
        return cls((int(order[0]), int(order[1]), int(order[2])), (bool(flips[0]), bool(flips[1]), bool(flips[2])))

    def apply(self, volume: Volume, *, copy: bool = True) -> Volume:
        """The same voxels at the same places in LPS mm, under the new axes; without `copy` a view of the source's."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.eye(3)[:, list(self.source_axes)]
        array = self.view(volume.array)
        for axis, flip in enumerate(self.flipped):
            if flip:
                matrix[:, 3] += matrix[:, axis] * (array.shape[axis] - 1)
                matrix[:, axis] *= -1
        return replace(volume, array=np.ascontiguousarray(array) if copy else array, affine=volume.affine @ matrix)

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """The source's array (…, i, j, k) seen under the new axes; nothing is copied, what is written there shows."""
        return self._flip(self._permute(array, self.source_axes))

    def shape(self, source: tuple[int, int, int]) -> tuple[int, int, int]:
        """The source's voxels along the new axes."""
        first, second, third = (source[axis] for axis in self.source_axes)
        return first, second, third

    def undo(self, array: NDArray[Any]) -> NDArray[Any]:
        """Bring an array of shape (…, i, j, k) on the new axes back to the source's."""
        back = np.argsort(self.source_axes)
        return np.ascontiguousarray(self._permute(self._flip(array), (int(back[0]), int(back[1]), int(back[2]))))

    def _flip(self, array: NDArray[Any]) -> NDArray[Any]:
        return np.flip(array, axis=[axis - 3 for axis, flip in enumerate(self.flipped) if flip])

    @staticmethod
    def _permute(array: NDArray[Any], axes: tuple[int, int, int]) -> NDArray[Any]:
        leading = array.ndim - 3
        return array.transpose(*range(leading), *(leading + axis for axis in axes))


def reorient(volume: Volume) -> Volume:
    """`volume` with axes permuted and flipped to closest L, P, S; `Reorientation` undoes it."""
    return Reorientation.to_lps(volume).apply(volume)
