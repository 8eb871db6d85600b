"""A follow-up drawn on the baseline's grid. For pictures only: nothing that is counted is ever resampled."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.imaging import Units, Volume, to_sitk
from trialscan.registration.alignment import Alignment

AIR_HU = -1024.0


def resample_to_baseline(volume: Volume, alignment: Alignment, like: Volume, labels: bool) -> Volume:
    """Draw a follow-up's `volume` on the grid of `like`, a baseline scan.

    Labels take the nearest voxel and keep their type, outside is 0; intensities are linear and float32, outside is
    air for HU and else the volume's lowest finite number.
    """
    source = volume if labels else volume.with_array(volume.array.astype(np.float32))
    outside = 0.0 if labels else _outside(volume)
    moved = sitk.Resample(
        to_sitk(source),
        to_sitk(like),
        alignment.transform,
        sitk.sitkNearestNeighbor if labels else sitk.sitkLinear,
        outside,
    )
    array = sitk.GetArrayFromImage(moved).transpose(2, 1, 0)
    return Volume(array, like.affine, volume.units, like.spacing_known, volume.metadata)


def _outside(volume: Volume) -> float:
    if volume.units is Units.HU:
        return AIR_HU
    return float(np.nanmin(volume.array))
