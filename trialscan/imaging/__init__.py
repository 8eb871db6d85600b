"""Images on their own grids: one type, readers and writers, geometry."""

from trialscan.imaging.boxes import Box, occupied_box
from trialscan.imaging.intensity import clamp, fill_nonfinite, has_nan
from trialscan.imaging.itk import from_sitk, to_sitk
from trialscan.imaging.mask import read_mask
from trialscan.imaging.read import read_volume
from trialscan.imaging.reorient import Reorientation, reorient
from trialscan.imaging.resample import resample
from trialscan.imaging.volume import Units, Volume, affine_from
from trialscan.imaging.write import write_volume, write_volumes

__all__ = [
    "Box",
    "Reorientation",
    "Units",
    "Volume",
    "affine_from",
    "clamp",
    "fill_nonfinite",
    "from_sitk",
    "has_nan",
    "occupied_box",
    "read_mask",
    "read_volume",
    "reorient",
    "resample",
    "to_sitk",
    "write_volume",
    "write_volumes",
]
