"""Drawn circles have a circle's area, segments come back voxel for voxel, what is drawn elsewhere is refused."""

from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import read_mask, read_volume
from trialscan.imaging.dicom.drawings import read_drawings

ROWS, COLUMNS, SLICES = 60, 50, 6
BETWEEN_ROWS, BETWEEN_COLUMNS, GAP = 0.8, 1.1, 2.5
ORIGIN = np.array([-20.0, 31.0, 100.0])
FRAME = "1.2.826.0.1.3680043.8.498.77"
TILT = np.radians(20)
ALONG_ROW = np.array([1.0, 0.0, 0.0])
DOWN_COLUMN = np.array([0.0, np.cos(TILT), np.sin(TILT)])
NORMAL = np.cross(ALONG_ROW, DOWN_COLUMN)


def header(sop_class: str, modality: str, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = f"{FRAME}.{modality == 'CT'}.{number}".replace("True", "1").replace("False", "2")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{FRAME}.3", f"{FRAME}.4"
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "A^B", "1", "", ""
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200101", "120000", "1", ""
    data.ReferringPhysicianName, data.Modality = "", modality
    return data


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    folder.mkdir()
    for k in range(SLICES):
        data = header(CTImageStorage, "CT", k + 1)
        data.FrameOfReferenceUID, data.PositionReferenceIndicator = FRAME, ""
        data.SeriesNumber, data.InstanceNumber = 1, k + 1
        data.ImageOrientationPatient = [*ALONG_ROW, *DOWN_COLUMN]
        data.ImagePositionPatient = (ORIGIN + k * GAP * NORMAL).tolist()
        data.PixelSpacing, data.SliceThickness = [BETWEEN_ROWS, BETWEEN_COLUMNS], GAP
        data.Rows, data.Columns, data.SamplesPerPixel = ROWS, COLUMNS, 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelData = np.zeros((ROWS, COLUMNS), dtype=np.uint16).tobytes()
        data.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return folder


def circle(radius_mm: float, k: float, centre: tuple[float, float] = (26.0, 22.0)) -> NDArray[np.float64]:
    """Points of a circle in slice k; the centre in mm along row and column."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    across, down = centre[0] + radius_mm * np.cos(angle), centre[1] + radius_mm * np.sin(angle)
    return ORIGIN + np.outer(across, ALONG_ROW) + np.outer(down, DOWN_COLUMN) + k * GAP * NORMAL


def structure_set(
    path: Path, structures: dict[str, Sequence[NDArray[np.float64]]], frame: str = FRAME, kind: str = "CLOSED_PLANAR"
) -> Path:
    data = header(RTStructureSetStorage, "RTSTRUCT", 1)
    names, drawn = [], []
    for number, (name, contours) in enumerate(structures.items(), start=1):
        roi, item = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        item.ReferencedROINumber = number
        item.ContourSequence = []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{number:.6f}" for number in points.ravel()]
            item.ContourSequence.append(contour)
        names.append(roi)
        drawn.append(item)
    data.StructureSetROISequence, data.ROIContourSequence = names, drawn
    data.save_as(path, enforce_file_format=True)
    return path


def test_a_circle_has_its_area_in_its_slices(series: Path, tmp_path: Path) -> None:
    image = read_volume(series)
    drawn = structure_set(tmp_path / "rs.dcm", {"tumour": [circle(15, k) for k in (1, 2, 3)]})
    mask = read_drawings(drawn, series, image, {"tumour": 3})
    assert mask.same_grid(image)
    assert set(np.unique(mask.array)) == {0, 3}
    area = (mask.array == 3).sum(axis=(0, 1)) * BETWEEN_ROWS * BETWEEN_COLUMNS
    assert area[[1, 2, 3]] == pytest.approx(np.pi * 15**2, rel=0.01)
    assert area[[0, 4, 5]].tolist() == [0, 0, 0]
    i, j, _ = np.argwhere(mask.array).mean(axis=0)
    assert (i * BETWEEN_COLUMNS, j * BETWEEN_ROWS) == pytest.approx((26, 22), abs=0.1)


def test_a_hole_is_left_out_as_a_contour_of_its_own_or_by_a_keyhole(series: Path, tmp_path: Path) -> None:
    image = read_volume(series)
    outer, inner = circle(15, 2), circle(6, 2)
    keyhole = np.vstack([outer, outer[:1], inner[::-1], inner[-1:], outer[:1]])
    own = structure_set(tmp_path / "own.dcm", {"ring": [outer, inner]})
    joined = structure_set(tmp_path / "joined.dcm", {"ring": [keyhole]})
    ring = read_drawings(own, series, image, {"ring": 1}).array
    area = ring.sum() * BETWEEN_ROWS * BETWEEN_COLUMNS
    assert area == pytest.approx(np.pi * (15**2 - 6**2), rel=0.01)
    np.testing.assert_array_equal(read_drawings(joined, series, image, {"ring": 1}).array, ring)


def test_a_later_structure_paints_over_an_earlier(series: Path, tmp_path: Path) -> None:
    image = read_volume(series)
    drawn = structure_set(tmp_path / "rs.dcm", {"core": [circle(6, 2)], "whole": [circle(15, 2)]})
    both = read_drawings(drawn, series, image, {"whole": 1, "core": 2}).array
    assert (both == 2).sum() * BETWEEN_ROWS * BETWEEN_COLUMNS == pytest.approx(np.pi * 36, rel=0.03)
    assert (read_drawings(drawn, series, image, {"core": 2, "whole": 1}).array == 2).sum() == 0


def test_a_contour_that_leaves_the_image_is_cut_at_its_edge(series: Path, tmp_path: Path) -> None:
    image = read_volume(series)
    half = structure_set(tmp_path / "rs.dcm", {"tumour": [circle(10, 0, centre=(-BETWEEN_COLUMNS / 2, 22.0))]})
    area = read_drawings(half, series, image, {"tumour": 1}).array.sum() * BETWEEN_ROWS * BETWEEN_COLUMNS
    assert area == pytest.approx(np.pi * 10**2 / 2, rel=0.03)


@pytest.mark.parametrize(
    ("contour", "message"),
    [
        (circle(15, 2.5), "contours in the planes of its slices"),
        (circle(15, 9), "a contour in slice 9; expected slices 0 to 5"),
        (circle(15, -1), "a contour in slice -1"),
        (circle(15, 2) + np.linspace(0, 5, 400)[:, None] * NORMAL, "contours in the planes"),
    ],
)
def test_a_contour_that_is_in_no_slice_is_refused(
    series: Path, tmp_path: Path, contour: NDArray[np.float64], message: str
) -> None:
    drawn = structure_set(tmp_path / "rs.dcm", {"tumour": [contour]})
    with pytest.raises(GeometryError, match=message):
        read_drawings(drawn, series, read_volume(series), {"tumour": 1})


def test_another_frame_of_reference_is_refused(series: Path, tmp_path: Path) -> None:
    drawn = structure_set(tmp_path / "rs.dcm", {"tumour": [circle(15, 2)]}, frame="1.2.3")
    with pytest.raises(GeometryError, match=r"drawn in frame of reference 1\.2\.3"):
        read_drawings(drawn, series, read_volume(series), {"tumour": 1})


def test_points_missing_and_empty_structures_are_refused(series: Path, tmp_path: Path) -> None:
    image = read_volume(series)
    points = structure_set(tmp_path / "points.dcm", {"tumour": [circle(15, 2)]}, kind="POINT")
    with pytest.raises(ImagingError, match="a contour of kind POINT"):
        read_drawings(points, series, image, {"tumour": 1})
    drawn = structure_set(tmp_path / "rs.dcm", {"tumour": [circle(15, 2)], "node": []})
    for name in ("node", "Tumour"):
        with pytest.raises(ImagingError, match=f"structure '{name}' is not drawn; expected one of tumour"):
            read_drawings(drawn, series, image, {name: 1})
    with pytest.raises(ImagingError, match="no drawing in it"):
        read_drawings(series, series, image, {"tumour": 1})


def segmentation(
    series: Path,
    path: Path,
    masks: dict[str, NDArray[np.bool_ | np.float64]],
    order: slice = slice(None),
    kind: str = "BINARY",
) -> Path:
    """A DICOM SEG written by highdicom: masks (k, row, column) on the slices in `order`."""
    images = sorted((pydicom.dcmread(file) for file in series.iterdir()), key=lambda one: one.InstanceNumber)[order]
    described = [
        highdicom.seg.SegmentDescription(
            number,
            label,
            codes.SCT.MorphologicallyAbnormalStructure,
            codes.SCT.Lesion,
            highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(masks, start=1)
    ]
    made = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=np.stack([mask[order] for mask in masks.values()], axis=-1).astype(
            np.uint8 if kind == "BINARY" else np.float32
        ),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(entropy_srcs=["series"]),
        series_number=2,
        sop_instance_uid=generate_uid(entropy_srcs=["instance"]),
        instance_number=1,
        manufacturer="maker",
        manufacturer_model_name="model",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(path)
    return path


@pytest.fixture
def drawn_masks() -> dict[str, NDArray[np.bool_]]:
    random = np.random.default_rng(5)
    lesion = np.zeros((SLICES, ROWS, COLUMNS), dtype=bool)
    lesion[2:5, 10:30, 5:40] = random.random((3, 20, 35)) < 0.5
    node = np.zeros_like(lesion)
    node[3, 40:44, 30:33] = True
    return {"lesion": lesion, "node": node}


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1), slice(2, 5)])
def test_segments_come_back_voxel_for_voxel(
    series: Path, tmp_path: Path, drawn_masks: dict[str, NDArray[np.bool_]], order: slice
) -> None:
    image = read_volume(series)
    mask = read_drawings(
        segmentation(series, tmp_path / "seg.dcm", drawn_masks, order), series, image, {"lesion": 1, "node": 2}
    )
    assert mask.same_grid(image)
    np.testing.assert_array_equal(mask.array == 1, drawn_masks["lesion"].transpose(2, 1, 0))
    np.testing.assert_array_equal(mask.array == 2, drawn_masks["node"].transpose(2, 1, 0))


def test_segments_with_gaps_between_their_slices(series: Path, tmp_path: Path) -> None:
    lesion = np.zeros((SLICES, ROWS, COLUMNS), dtype=bool)
    lesion[[0, 1, 4], 10:20, 10:20] = True
    mask = read_drawings(
        segmentation(series, tmp_path / "seg.dcm", {"lesion": lesion}), series, read_volume(series), {"lesion": 1}
    )
    np.testing.assert_array_equal(mask.array == 1, lesion.transpose(2, 1, 0))


def test_a_segment_of_one_slice(series: Path, tmp_path: Path, drawn_masks: dict[str, NDArray[np.bool_]]) -> None:
    path = segmentation(series, tmp_path / "seg.dcm", {"node": drawn_masks["node"]}, slice(3, 4))
    mask = read_drawings(path, series, read_volume(series), {"node": 1})
    np.testing.assert_array_equal(mask.array == 1, drawn_masks["node"].transpose(2, 1, 0))


def test_a_fractional_segment_holds_what_is_at_least_half_inside(series: Path, tmp_path: Path) -> None:
    fractions = np.zeros((SLICES, ROWS, COLUMNS))
    fractions[2, 10, :4] = [0.2, 0.45, 0.6, 1.0]
    path = segmentation(series, tmp_path / "seg.dcm", {"lesion": fractions}, kind="FRACTIONAL")
    mask = read_drawings(path, series, read_volume(series), {"lesion": 1})
    assert np.argwhere(mask.array).tolist() == [[2, 10, 2], [3, 10, 2]]


def test_segments_on_other_voxels_are_refused(
    series: Path, tmp_path: Path, drawn_masks: dict[str, NDArray[np.bool_]]
) -> None:
    path = segmentation(series, tmp_path / "seg.dcm", drawn_masks)
    for file in series.iterdir():
        data = pydicom.dcmread(file)
        data.ImagePositionPatient = [value + 0.3 for value in data.ImagePositionPatient]
        data.save_as(file)
    with pytest.raises(GeometryError, match="on another grid"):
        read_drawings(path, series, read_volume(series), {"lesion": 1})


def test_the_reference_contours_of_ibsi_give_the_reference_mask(real_data: Path) -> None:
    folder = real_data / "lung_tumour_ct" / "ibsi_1_ct_radiomics_phantom"
    series = folder / "dicom" / "image"
    mask = read_drawings(folder / "dicom" / "mask", series, read_volume(series), {"GTV-1": 1})
    reference = read_mask(folder / "nifti" / "mask" / "mask.nii.gz")
    assert mask.array.sum() * mask.voxel_ml == pytest.approx(358.7, abs=0.05)
    assert mask.array.sum() * mask.voxel_ml == pytest.approx(reference.array.sum() * reference.voxel_ml, rel=1e-9)
    np.testing.assert_array_equal(np.argwhere(mask.array), np.argwhere(reference.array))
