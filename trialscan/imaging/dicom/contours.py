"""Contours of an RT structure set filled on an image's grid.

A voxel belongs to a structure when its centre lies inside an odd number of the structure's polygons of its slice
(even-odd rule): so holes may be given as inner contours of their own or by a keyhole. This is also how the Image
Biomarker Standardisation Initiative fills its reference contours (Zwanenburg et al., Radiology 2020;295:328-338).
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pydicom
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging.volume import Volume

_OFF_SLICE = 0.1
_CLOSED = {"CLOSED_PLANAR", "CLOSED_PLANAR_XOR", "CLOSEDPLANAR_XOR"}


def structure_masks(where: str, header: pydicom.Dataset, like: Volume) -> dict[str, NDArray[np.bool_]]:
    """Masks (i, j, k) on `like`'s grid by the name of the structure; structures of one name are one.

    Raises
    ------
    GeometryError
        A contour lies between slices, outside the image, or not in a slice's plane.
    ImagingError
        A structure consists of points or open lines.
    """
    names = {int(item.ROINumber): str(item.ROIName) for item in header.get("StructureSetROISequence") or ()}
    masks = {name: np.zeros(like.shape, dtype=np.bool_) for name in names.values()}
    for item in header.get("ROIContourSequence") or ():
        name = names.get(int(item.ReferencedROINumber))
        if name is None:
            raise ImagingError(where, f"contours of ROI {item.ReferencedROINumber}", "a ROI of the structure set")
        masks[name] |= _filled(f"{where}: {name}", item, like)
    return {name: mask for name, mask in masks.items() if mask.any()}


def frames_of_reference(header: pydicom.Dataset) -> Mapping[str, str]:
    """FrameOfReferenceUID that each structure is drawn in, by name; empty text where the file does not say."""
    structures = header.get("StructureSetROISequence") or ()
    return {str(item.ROIName): str(item.get("ReferencedFrameOfReferenceUID", "")) for item in structures}


def _filled(where: str, item: pydicom.Dataset, like: Volume) -> NDArray[np.bool_]:
    mask = np.zeros(like.shape, dtype=np.bool_)
    for contour in item.get("ContourSequence") or ():
        kind = str(contour.ContourGeometricType)
        if kind not in _CLOSED:
            raise ImagingError(where, f"a contour of kind {kind}", "closed planar contours")
        points = like.to_index(np.asarray(contour.ContourData, dtype=np.float64).reshape(-1, 3))
        depth = _slice_of(where, points[:, 2], like)
        for rows, inside in _inside(points[:, :2], like):
            mask[*rows, depth] ^= inside
    return mask


def _slice_of(where: str, depths: NDArray[np.float64], like: Volume) -> int:
    nearest = round(float(depths.mean()))
    if np.abs(depths - nearest).max() > _OFF_SLICE:
        found = f"a contour from slice {depths.min():.2f} to {depths.max():.2f} of the image (counted from 0)"
        raise GeometryError(where, found, "contours in the planes of its slices", "Give the series it was drawn on.")
    if not 0 <= nearest < like.shape[2]:
        raise GeometryError(where, f"a contour in slice {nearest}", f"slices 0 to {like.shape[2] - 1}")
    return nearest


def _inside(points: NDArray[np.float64], like: Volume) -> Iterator[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """The part of the slice that a polygon spans, and which of its voxel centres lie inside; none where it misses."""
    low = np.maximum(np.ceil(points.min(axis=0)), 0).astype(int)
    high = np.minimum(np.floor(points.max(axis=0)) + 1, like.shape[:2]).astype(int)
    if (low >= high).any():
        return
    i, j = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    centres = np.column_stack([i.ravel(), j.ravel()])
    inside = Polygon(points).contains_points(centres).reshape(i.shape)
    yield (slice(low[0], high[0]), slice(low[1], high[1])), inside
