"""Synthetic DICOM series, sound and with one fault at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    RTStructureSetStorage,
)

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import Units, read_volume

ROWS, COLUMNS = 4, 6
SERIES = "1.2.826.0.1.3680043.8.498.1"


def blank(sop_class: str = CTImageStorage, number: int = 1) -> FileDataset:
    """An image header with the fields that every case shares."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, f"{SERIES}.{number}"
    data.SeriesInstanceUID, data.SeriesNumber, data.InstanceNumber = SERIES, 1, number
    data.PatientName, data.PatientID, data.PatientBirthDate = "Someone^Known", "ID-4711", "19500101"
    data.StudyDate = "20200102"
    data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Manufacturer, data.ManufacturerModelName = "Maker", "Scanner 1"
    data.ConvolutionKernel, data.KVP, data.RescaleType = "B30f", "120", "HU"
    data.Rows, data.Columns = ROWS, COLUMNS
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    return data


def stored(index: int) -> np.ndarray:
    """The stored pixels of a slice: all differ, and differ between slices."""
    return (np.arange(ROWS * COLUMNS, dtype=np.uint16) + 100 * index).reshape(ROWS, COLUMNS)


def plane(index: int, gap: float = 2.0, normal: Sequence[float] = (0.0, 0.0, 1.0)) -> FileDataset:
    """Slice `index` of an axial CT: pixels of 0.5 (between rows) by 0.75 mm (between columns)."""
    data = blank(number=index + 1)
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = (np.array([-10.0, -20.0, 30.0]) + index * gap * np.asarray(normal)).tolist()
    data.PixelSpacing = [0.5, 0.75]
    data.SliceThickness = "2.0"
    data.RescaleSlope, data.RescaleIntercept = "1", "-1024"
    data.PixelData = stored(index).tobytes()
    return data


def enhanced(count: int = 4) -> FileDataset:
    """The same stack as one enhanced multi-frame file."""
    data = blank(EnhancedCTImageStorage)
    del data.ConvolutionKernel, data.KVP, data.RescaleType
    data.NumberOfFrames = count
    measures, orientation, values = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], "2.0"
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = "1", "-1024", "HU"
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelValueTransformationSequence = [values]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [_frame(index) for index in range(count)]
    data.PixelData = np.stack([stored(index) for index in range(count)]).tobytes()
    return data


def _frame(index: int) -> Dataset:
    position, content, frame = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [-10.0, -20.0, 30.0 + 2.0 * index]
    content.StackID, content.InStackPositionNumber = "1", index + 1
    frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
    return frame


def write(folder: Path, datasets: Sequence[Dataset]) -> Path:
    """Write datasets to a folder, under names whose order is not theirs, and give the folder."""
    folder.mkdir()
    order = np.random.default_rng(3).permutation(len(datasets))
    for place, dataset in zip(order, datasets, strict=True):
        dataset.save_as(folder / f"IM{place:04d}.dcm", enforce_file_format=True)
    return folder


def stack(count: int = 5) -> list[FileDataset]:
    return [plane(index) for index in range(count)]


def drop(index: int) -> Callable[[list[FileDataset]], object]:
    return lambda slices: slices.pop(index)


def put(index: int, **fields: object) -> Callable[[list[FileDataset]], object]:
    return lambda slices: [setattr(slices[index], name, value) for name, value in fields.items()]


def put_all(**fields: object) -> Callable[[list[FileDataset]], object]:
    return lambda slices: [setattr(one, name, value) for one in slices for name, value in fields.items()]


def test_slices_come_by_position_and_pixels_as_columns_then_rows(tmp_path: Path):
    volume = read_volume(write(tmp_path / "series", stack()), Units.HU)
    assert volume.shape == (COLUMNS, ROWS, 5)
    assert volume.array.dtype == np.int16
    for index in range(5):
        np.testing.assert_array_equal(volume.array[:, :, index].T, stored(index).astype(int) - 1024)
    expected = np.diag([0.75, 0.5, 2.0, 1.0])
    expected[:3, 3] = [-10.0, -20.0, 30.0]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
    assert volume.units is Units.HU
    assert volume.spacing_known


def test_metadata_tells_of_the_scanner_and_nothing_of_the_patient(tmp_path: Path):
    volume = read_volume(write(tmp_path / "series", stack()))
    assert volume.units is Units.INTENSITY
    assert volume.metadata == {
        "modality": "CT",
        "manufacturer": "Maker",
        "model": "Scanner 1",
        "convolution_kernel": "B30f",
        "kvp": "120",
        "rescale_type": "HU",
        "slice_thickness_mm": "2",
        "instance_numbers": "1-5",
    }


def test_coronal_and_oblique_stacks_lie_where_the_header_says(tmp_path: Path):
    turn = np.radians(20.0)
    for name, row, column in (
        ("coronal", np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0])),
        ("oblique", np.array([np.cos(turn), np.sin(turn), 0.0]), np.array([0.0, 0.0, -1.0])),
    ):
        slices = [plane(index, normal=np.cross(row, column).tolist()) for index in range(4)]
        put_all(ImageOrientationPatient=[*row.tolist(), *column.tolist()])(slices)
        volume = read_volume(write(tmp_path / name, slices), Units.HU)
        corner = np.array([[1.0, 2.0, 3.0]])
        place = np.array([-10.0, -20.0, 30.0]) + 0.75 * row + 1.0 * column + 6.0 * np.cross(row, column)
        np.testing.assert_allclose(volume.to_world(corner)[0], place, atol=1e-6)
        assert volume.array[1, 2, 3] == stored(3)[2, 1].astype(int) - 1024


def test_enhanced_file_equals_the_series(tmp_path: Path):
    series = read_volume(write(tmp_path / "series", stack(4)), Units.HU)
    enhanced(4).save_as(tmp_path / "one.dcm", enforce_file_format=True)
    single = read_volume(tmp_path / "one.dcm", Units.HU)
    np.testing.assert_array_equal(single.array, series.array)
    np.testing.assert_allclose(single.affine, series.affine)
    assert single.metadata["rescale_type"] == "HU"


def test_enhanced_file_with_a_lost_frame_is_refused(tmp_path: Path):
    data = enhanced(5)
    del data.PerFrameFunctionalGroupsSequence[2]
    data.NumberOfFrames = 4
    data.PixelData = data.PixelData[: 4 * ROWS * COLUMNS * 2]
    data.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    with pytest.raises(GeometryError, match=r"4\.000 mm between frame 2 .* and frame 4"):
        read_volume(tmp_path / "one.dcm")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop(2), r"4\.000 mm between instance 2 \(at 32\.00 mm\) and instance 4; expected 2\.000 mm"),
        (drop(1), r"4\.000 mm between instance 1 .* and instance 3; expected 2\.000 mm"),
        (put(3, ImagePositionPatient=[-10, -20, 36.05]), "between instance"),
        (put(3, ImagePositionPatient=[-10, -20, 34]), "instance 3 and instance 4 lie at the same place"),
        (lambda slices: slices.append(plane(2)), "lie at the same place"),
        (lambda slices: [slices.pop(3), slices.pop(1)], "only every 2. instance"),
        (put(2, ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "is turned against"),
        (put(2, Rows=ROWS - 1), r"of \(3, 6\) pixels beside"),
        (put(2, PixelSpacing=[0.5, 0.8]), "one pixel spacing"),
        (put(2, RescaleIntercept="-1000"), "2 rescale formulas"),
        (put_all(ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0]), "perpendicular unit vectors"),
        (put_all(ImagesInAcquisition=6), "5 slices; expected 6"),
        (put_all(NumberOfSlices=7), "5 slices; expected 7"),
        (put_all(ImageOrientationPatient=None, ImagePositionPatient=None), "without position"),
        (put(2, ImagePositionPatient=None), "without position"),
    ],
)
def test_a_faulty_stack_is_refused(tmp_path: Path, change: Callable[[list[FileDataset]], object], message: str):
    slices = stack()
    change(slices)
    with pytest.raises(GeometryError, match=rf"series: .*{message}"):
        read_volume(write(tmp_path / "series", slices), Units.HU)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path: Path):
    lean = np.tan(np.radians(15.0))
    slices = [plane(index, normal=(0.0, lean, 1.0)) for index in range(5)]
    with pytest.raises(GeometryError, match=r"15\.0 degrees"):
        read_volume(write(tmp_path / "series", slices), Units.HU)


def test_rounded_positions_are_accepted(tmp_path: Path):
    slices = [plane(index, gap=1.25) for index in range(9)]
    for index, one in enumerate(slices):
        one.ImagePositionPatient = [-10, -20, round(30 + 1.25 * index + (0.004 if index % 2 else 0.0), 3)]
    assert read_volume(write(tmp_path / "series", slices)).shape[2] == 9


def test_two_series_are_listed_with_their_counts(tmp_path: Path):
    slices = stack(3) + [plane(index + 10) for index in range(2)]
    for one in slices[3:]:
        one.SeriesInstanceUID, one.SeriesNumber = "1.2.3", 2
    with pytest.raises(ImagingError, match=r"2 image series \(CT series 1: 3 images; CT series 2: 2 images\)"):
        read_volume(write(tmp_path / "series", slices))


def test_what_is_no_slice_is_left_out(tmp_path: Path):
    folder = write(tmp_path / "series", stack())
    contours = blank(RTStructureSetStorage, 90)
    contours.Modality, contours.SeriesInstanceUID = "RTSTRUCT", "1.2.9"
    del contours.Rows, contours.Columns
    contours.save_as(folder / "contours.dcm", enforce_file_format=True)
    scout = plane(0)
    scout.ImageType, scout.InstanceNumber = ["ORIGINAL", "PRIMARY", "LOCALIZER"], 91
    scout.save_as(folder / "scout", enforce_file_format=True)
    (folder / "README.txt").write_text("made up")
    assert read_volume(folder).shape[2] == 5


def test_a_folder_without_a_scan_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImagingError, match=r"empty: no scan in it \(found: no DICOM file\)"):
        read_volume(tmp_path / "empty")


@pytest.mark.parametrize("cut", [0, 60, 200, 400, -10])
def test_a_damaged_slice_is_named(tmp_path: Path, cut: int):
    folder = write(tmp_path / "series", stack())
    data = (folder / "IM0002.dcm").read_bytes()
    (folder / "IM0002.dcm").write_bytes(data[:cut])
    with pytest.raises(ImagingError, match=r"series: IM0002\.dcm: "):
        read_volume(folder)


def test_fractional_rescale_gives_float(tmp_path: Path):
    slices = stack(2)
    put_all(RescaleSlope="0.5", RescaleIntercept="-10.25")(slices)
    volume = read_volume(write(tmp_path / "series", slices), Units.HU)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array[:, :, 1].T, stored(1) * 0.5 - 10.25)


def test_pet_slices_keep_their_own_slope(tmp_path: Path):
    slices = stack(3)
    put_all(Modality="PT", Units="GML", RescaleIntercept="0")(slices)
    for index, one in enumerate(slices):
        one.RescaleSlope = str(0.5 + index)
    volume = read_volume(write(tmp_path / "series", slices), Units.SUV)
    np.testing.assert_array_equal(volume.array[:, :, 2].T, stored(2) * 2.5)


@pytest.mark.parametrize(("units", "modality"), [(Units.HU, "MR"), (Units.SUV, "PT"), (Units.SUV, "CT")])
def test_units_that_the_header_contradicts_are_refused(tmp_path: Path, units: Units, modality: str):
    slices = stack(2)
    put_all(Modality=modality)(slices)
    with pytest.raises(ImagingError, match=f"modality {modality}"):
        read_volume(write(tmp_path / "series", slices), units)


def test_a_single_slice_is_planar_with_known_spacing(tmp_path: Path):
    plane(7).save_as(tmp_path / "one.dcm", enforce_file_format=True)
    volume = read_volume(tmp_path / "one.dcm", Units.HU)
    assert volume.is_planar
    assert volume.spacing_mm == (0.75, 0.5, 2.0)


def test_values_beyond_sixteen_bits_are_kept(tmp_path: Path):
    data = plane(0)
    data.RescaleIntercept = "0"
    data.PixelData = np.full((ROWS, COLUMNS), 65000, np.uint16).tobytes()
    data.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    assert read_volume(tmp_path / "one.dcm").array.max() == 65000


def test_white_is_zero_pictures_are_turned_over(tmp_path: Path):
    data = blank()
    data.Modality, data.PhotometricInterpretation = "DX", "MONOCHROME1"
    data.BitsStored, data.HighBit = 12, 11
    data.PixelData = stored(0).tobytes()
    data.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    volume = read_volume(tmp_path / "one.dcm")
    np.testing.assert_array_equal(volume.array[:, :, 0].T, 4095 - stored(0).astype(int))
    assert "MONOCHROME1" in volume.metadata["greyscale"]
    assert not volume.spacing_known


def test_a_cine_loop_is_refused(tmp_path: Path):
    data = blank()
    data.NumberOfFrames = 3
    data.PixelData = np.stack([stored(index) for index in range(3)]).tobytes()
    data.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    with pytest.raises(ImagingError, match="3 frames without positions"):
        read_volume(tmp_path / "one.dcm")


def test_a_compression_without_decoder_is_named(tmp_path: Path):
    data = plane(0)
    data.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    with pytest.raises(ImagingError, match=r"one\.dcm: pixels cannot be decoded \(JPEG Lossless"):
        read_volume(tmp_path / "one.dcm")


def test_a_file_that_is_no_dicom_is_refused(tmp_path: Path):
    (tmp_path / "one.dcm").write_bytes(b"no DICOM" * 50)
    with pytest.raises(ImagingError, match=r"one\.dcm: cannot be read"):
        read_volume(tmp_path / "one.dcm")


def test_values_by_look_up_table_are_refused(tmp_path: Path):
    data = plane(0)
    data.ModalityLUTSequence = [Dataset()]
    data.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    with pytest.raises(ImagingError, match="ModalityLUTSequence"):
        read_volume(tmp_path / "one.dcm")


def test_frame_descriptions_and_frames_have_to_agree(tmp_path: Path):
    data = enhanced(4)
    data.NumberOfFrames = 3
    data.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    with pytest.raises(ImagingError, match=r"4 frame descriptions; expected 3"):
        read_volume(tmp_path / "one.dcm")


def test_slices_without_numbers_are_named_by_file(tmp_path: Path):
    slices = stack()
    put_all(InstanceNumber=None)(slices)
    slices.pop(2)
    with pytest.raises(GeometryError, match=r"between IM000\d\.dcm .* and IM000\d\.dcm"):
        read_volume(write(tmp_path / "series", slices))
