"""A scan as it enters the alignment: its picture, its organ, and the lesions that are to pull at nothing."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.imaging import Volume


@dataclass(frozen=True)
class MaskedScan:
    """A scan with its organ and what to leave out of the alignment, masks on its own grid (positive is inside)."""

    image: Volume
    organ: Volume | None = None
    lesions: Volume | None = None


@dataclass(frozen=True)
class Side:
    """One scan, flattened if planar: its organ and lesions (boolean or None), and the rigid map scene to LPS mm."""

    volume: Volume
    organ: NDArray[np.bool_] | None
    lesions: NDArray[np.bool_] | None
    frame: NDArray[np.float64]

    @property
    def extent(self) -> float:
        """Longest edge of the organ's box (of the image without a mask), in the scene's unit."""
        low, high = self.box()
        return float(((high - low) * np.asarray(self.volume.grid_spacing)).max())

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Continuous indices of the organ's outer corners; the whole image's without a mask."""
        if self.organ is None:
            return np.full(3, -0.5), np.asarray(self.volume.shape) - 0.5
        (spans,) = ndimage.find_objects(self.organ.astype(np.uint8))
        return np.array([s.start for s in spans]) - 0.5, np.array([s.stop for s in spans]) - 0.5

    def values(self) -> NDArray[np.float64]:
        """The finite numbers inside the organ, or all."""
        array = self.volume.array if self.organ is None else self.volume.array[self.organ]
        numbers: NDArray[np.float64] = array[np.isfinite(array)].astype(np.float64)
        return numbers


def side_of(scan: MaskedScan) -> Side:
    """Flatten a planar image into its own plane; leave a volume where it is."""
    organ, lesions = (None if mask is None else mask.array > 0 for mask in (scan.organ, scan.lesions))
    volume = scan.image
    if not volume.is_planar:
        return Side(replace(volume, spacing_known=True), organ, lesions, np.eye(4))
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = volume.direction, volume.affine[:3, 3]
    flat = replace(volume, affine=np.diag([*volume.grid_spacing, 1.0]), spacing_known=True)
    return Side(flat, organ, lesions, frame)
