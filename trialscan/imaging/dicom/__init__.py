"""DICOM scans: which files belong together, where each slice lies, what its numbers mean."""

from trialscan.imaging.dicom.reader import is_dicom, read_dicom

__all__ = ["is_dicom", "read_dicom"]
