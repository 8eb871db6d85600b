"""Public scans, read as their sources describe them."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import Units, from_sitk, read_mask, read_volume, write_volume

TUMOUR = Path("lung_tumour_ct/ibsi_1_ct_radiomics_phantom")


@pytest.mark.parametrize(("visit", "expected_ml"), [("baseline", 3363.6), ("followup", 3968.1)])
def test_lung_volumes(real_data: Path, visit: str, expected_ml: float):
    image = read_volume(real_data / "lung_ct_pair" / f"{visit}.mha", Units.HU)
    lung = read_mask(real_data / "lung_ct_pair" / f"{visit}_lung_mask.mha", image)
    assert round(float((lung.array > 0).sum()) * lung.voxel_ml, 1) == expected_ml


def test_dicom_series_equals_its_nifti(real_data: Path):
    series = read_volume(real_data / TUMOUR / "dicom/image", Units.HU)
    nifti = read_volume(real_data / TUMOUR / "nifti/image/phantom.nii.gz", Units.HU)
    assert series.same_grid(nifti)
    np.testing.assert_array_equal(series.array, nifti.array)
    mask = read_mask(real_data / TUMOUR / "nifti/mask/mask.nii.gz", series)
    assert float((mask.array > 0).sum()) * mask.voxel_ml == pytest.approx(359, abs=1)


@pytest.mark.parametrize("lost", [1, 30, 58])
def test_dicom_series_with_a_lost_slice_is_refused(real_data: Path, tmp_path: Path, lost: int):
    shutil.copytree(real_data / TUMOUR / "dicom/image", tmp_path / "image")
    whole = read_volume(tmp_path / "image")
    depth = whole.affine[2, 3] + lost * whole.affine[2, 2]
    for file in (tmp_path / "image").iterdir():
        if abs(read_volume(file).affine[2, 3] - depth) < 0.1:
            file.unlink()
    with pytest.raises(GeometryError, match=r"image: 6\.000 mm between instance .*; expected 3\.000 mm"):
        read_volume(tmp_path / "image")


def test_dicom_contours_beside_the_images_are_no_second_series(real_data: Path):
    assert read_volume(real_data / TUMOUR / "dicom").shape == (204, 201, 60)
    with pytest.raises(ImagingError, match="RT Structure Set Storage"):
        read_volume(real_data / TUMOUR / "dicom/mask/DCM_RS_00060.dcm")


def test_single_ct_slices(real_data: Path):
    files = sorted((real_data / "dicom/covid_axial_pairs").rglob("*.dcm"))
    assert len(files) == 6
    for file in files:
        volume = read_volume(file, Units.HU)
        assert volume.shape == (512, 512, 1)
        assert volume.spacing_known
        assert volume.metadata["modality"] == "CT"
        assert ((volume.array > -950) & (volume.array < -600)).mean() > 0.03  # lung
        assert ((volume.array > -20) & (volume.array < 80)).mean() > 0.05  # soft tissue


def test_multi_frame_and_ultrasound_files(real_data: Path):
    folder = real_data / "dicom/multiframe"
    enhanced = read_volume(folder / "eCT_Supplemental.dcm", Units.HU)
    assert enhanced.shape == (512, 512, 2)
    assert enhanced.spacing_mm == pytest.approx((0.388672, 0.388672, 10.0))
    for name in ("US1_UNCR.dcm", "gdcm-US-ALOKA-16.dcm"):
        ultrasound = read_volume(folder / name)
        assert ultrasound.shape == (640, 480, 1)
        assert not ultrasound.spacing_known
        assert "luminance" in ultrasound.metadata["greyscale"]
    with pytest.raises(ImagingError, match="Segmentation Storage"):
        read_volume(folder / "liver.dcm")


def test_two_dates_in_one_folder_are_two_series(real_data: Path):
    with pytest.raises(ImagingError, match=r"2 image series \(CT series .*: 1 images; CT series .*: 1 images\)"):
        read_volume(real_data / "dicom/covid_axial_pairs/A002304")


def test_every_chest_radiograph_with_its_masks(real_data: Path):
    folder = real_data / "chest_xray"
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 57
    for row in rows:
        image = read_volume(folder / row["scan"])
        assert image.is_planar
        assert not image.spacing_known
        assert read_mask(folder / row["organ_mask"], image).array.max() in {1, 2}
        assert read_mask(folder / row["lesion_mask"], image).array.max() <= 2


@pytest.mark.parametrize(
    "name",
    [
        "sarcoma/STS_003/CT_image.nii.gz",
        "sarcoma/STS_003/PET_mask.nii.gz",
        "ms_flair_pairs/patient01/study1_FLAIR_native.nii.gz",
        "ms_flair_lesions/patient07/FLAIR.nii.gz",
    ],
)
def test_nifti_lies_where_itk_puts_it_and_survives_rewriting(real_data: Path, tmp_path: Path, name: str):
    volume = read_volume(real_data / name)
    by_itk = from_sitk(sitk.ReadImage(str(real_data / name)), Units.INTENSITY)
    assert volume.same_grid(by_itk)
    np.testing.assert_array_equal(volume.array, by_itk.array)
    write_volume(tmp_path / "a.nii.gz", volume)
    again = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-5)
