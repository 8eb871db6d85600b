"""Images on their own grids: one type, readers and writers, geometry."""

from trialscan.imaging.volume import Units, Volume, affine_from

__all__ = ["Units", "Volume", "affine_from"]
