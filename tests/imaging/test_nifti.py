import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import ImagingError
from trialscan.imaging import Units, Volume, from_sitk, has_nan, read_volume, write_volume

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def save(
    path: Path,
    array: np.ndarray,
    sform: np.ndarray | None = None,
    scode: int = 1,
    qform: np.ndarray | None = None,
    qcode: int = 0,
    zooms: tuple[float, ...] | None = None,
    units: int = 2,
) -> Path:
    image = nib.Nifti1Image(array, None)
    if zooms is not None:
        image.header.set_zooms(zooms)
    if qform is not None:
        image.header.set_qform(qform, qcode)
    if sform is not None:
        image.header.set_sform(sform, scode)
    image.header["qform_code"], image.header["sform_code"] = qcode, scode if sform is not None else 0
    image.header["xyzt_units"] = units
    path.write_bytes(nib.Nifti1Image(array, None, image.header).to_bytes())
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_round_trip(tmp_path: Path, awkward: Volume, suffix: str):
    write_volume(tmp_path / f"a{suffix}", awkward)
    again = read_volume(tmp_path / f"a{suffix}", Units.HU)
    np.testing.assert_array_equal(again.array, awkward.array)
    np.testing.assert_allclose(again.affine, awkward.affine, atol=1e-5)
    assert again.units is Units.HU
    assert again.spacing_known
    assert again.metadata == {}


def test_other_software_reads_the_same_grid(tmp_path: Path, awkward: Volume):
    write_volume(tmp_path / "a.nii.gz", awkward)
    by_itk = from_sitk(sitk.ReadImage(str(tmp_path / "a.nii.gz")), Units.HU)
    np.testing.assert_allclose(by_itk.affine, awkward.affine, atol=1e-4)
    by_nibabel = nib.load(tmp_path / "a.nii.gz")
    for form in (by_nibabel.get_sform(), by_nibabel.get_qform()):
        np.testing.assert_allclose(RAS_TO_LPS @ form, awkward.affine, atol=1e-4)


def test_reads_the_grid_that_itk_reads(tmp_path: Path, awkward: Volume):
    sitk.WriteImage(sitk.Image(from_image(awkward)), str(tmp_path / "a.nii.gz"))
    again = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(again.affine, awkward.affine, atol=1e-4)
    np.testing.assert_array_equal(again.array, awkward.array)


def from_image(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(volume.array.transpose(2, 1, 0))
    image.SetSpacing(volume.grid_spacing)
    image.SetOrigin(volume.affine[:3, 3].tolist())
    image.SetDirection(volume.direction.ravel().tolist())
    return image


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_types_are_kept(tmp_path: Path, dtype: str):
    array = np.array([[[0, 1], [2, 250]]], dtype=dtype)
    write_volume(tmp_path / "a.nii.gz", Volume(array, np.eye(4), Units.INTENSITY))
    again = read_volume(tmp_path / "a.nii.gz")
    assert again.array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(again.array, array)


def test_unknown_spacing_stays_unknown(tmp_path: Path):
    picture = Volume(np.ones((4, 3, 1), np.uint8), np.eye(4), Units.LABEL, spacing_known=False)
    write_volume(tmp_path / "a.nii.gz", picture)
    again = read_volume(tmp_path / "a.nii.gz")
    assert not again.spacing_known
    assert again.grid_spacing == (1.0, 1.0, 1.0)
    assert int(nib.load(tmp_path / "a.nii.gz").header["xyzt_units"]) == 0


def test_shear_survives_in_the_sform(tmp_path: Path):
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[0, 2] = 0.5
    write_volume(tmp_path / "a.nii.gz", Volume(np.zeros((3, 3, 3), np.uint8), affine, Units.LABEL))
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii.gz").affine, affine, atol=1e-6)


def test_disagreeing_forms_are_noted_and_resolved_as_itk_does(tmp_path: Path):
    sform, qform = np.diag([2.0, 2.0, 3.0, 1.0]), np.diag([2.0, 2.0, 3.0, 1.0])
    qform[:3, 3] = [10.0, 20.0, 30.0]
    array = np.zeros((3, 4, 5), np.int16)
    for scode, qcode, used in ((1, 1, "sform"), (2, 1, "qform"), (4, 2, "qform")):
        path = save(tmp_path / f"{scode}{qcode}.nii", array, sform, scode, qform, qcode, (2.0, 2.0, 3.0))
        volume = read_volume(path)
        assert volume.metadata["spatial_form"] == f"qform and sform disagree by 30.00 mm: {used} used"
        assert volume.same_grid(from_sitk(sitk.ReadImage(str(path)), Units.HU))


def test_without_forms_the_axes_are_lps_and_it_is_noted(tmp_path: Path):
    volume = read_volume(save(tmp_path / "a.nii", np.zeros((3, 4, 5), np.int16), zooms=(1.0, 1.5, 2.0)))
    np.testing.assert_array_equal(volume.affine, np.diag([1.0, 1.5, 2.0, 1.0]))
    assert "neither qform nor sform" in volume.metadata["spatial_form"]


def test_metres_become_millimetres(tmp_path: Path):
    sform = np.diag([0.001, 0.001, 0.002, 1.0])
    volume = read_volume(save(tmp_path / "a.nii", np.zeros((3, 4, 5), np.int16), sform, zooms=(1, 1, 2), units=1))
    np.testing.assert_allclose(volume.spacing_mm, (1.0, 1.0, 2.0), rtol=1e-6)


def test_scaled_numbers_become_float(tmp_path: Path):
    image = nib.Nifti1Image(np.array([[[0, 10]]], np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -3.0)
    data = bytearray(image.to_bytes())
    data[112:120] = np.array([0.5, -3.0], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    volume = read_volume(tmp_path / "a.nii")
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array.ravel(), [-3.0, 2.0])


def test_big_endian_is_made_native(tmp_path: Path):
    image = nib.Nifti1Image(np.array([[[1, 2]]], ">i2"), np.eye(4), nib.Nifti1Header(endianness=">"))
    (tmp_path / "a.nii").write_bytes(image.to_bytes())
    volume = read_volume(tmp_path / "a.nii")
    assert volume.array.dtype.isnative
    assert volume.array.ravel().tolist() == [1, 2]


def test_nifti_2_is_read(tmp_path: Path):
    (tmp_path / "a.nii").write_bytes(nib.Nifti2Image(np.ones((2, 3, 4), np.int16), np.eye(4)).to_bytes())
    assert read_volume(tmp_path / "a.nii").shape == (2, 3, 4)


def test_one_frame_is_squeezed_and_more_are_refused(tmp_path: Path):
    affine = np.eye(4)
    (tmp_path / "one.nii").write_bytes(nib.Nifti1Image(np.ones((2, 3, 4, 1), np.int16), affine).to_bytes())
    (tmp_path / "two.nii").write_bytes(nib.Nifti1Image(np.ones((2, 3, 4, 2), np.int16), affine).to_bytes())
    assert read_volume(tmp_path / "one.nii").shape == (2, 3, 4)
    with pytest.raises(ImagingError, match=r"two\.nii.*\(2, 3, 4, 2\)"):
        read_volume(tmp_path / "two.nii")


def test_nan_is_kept_and_told(tmp_path: Path):
    array = np.zeros((2, 2, 2), np.float32)
    array[0, 0, 0] = np.nan
    write_volume(tmp_path / "a.nii.gz", Volume(array, np.eye(4), Units.HU))
    assert has_nan(read_volume(tmp_path / "a.nii.gz"))


@pytest.mark.parametrize("cut", [0.3, 0.9, -4])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, cut: float):
    rng = np.random.default_rng(1)
    volume = Volume(rng.integers(-1000, 1000, (20, 20, 20)).astype(np.int16), np.eye(4), Units.HU)
    write_volume(tmp_path / f"whole{suffix}", volume)
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: cut if cut < 0 else int(len(data) * cut)])
    with pytest.raises(ImagingError, match=r"cut\.nii"):
        read_volume(tmp_path / f"cut{suffix}")
    assert capfd.readouterr().err == ""


def test_a_corrupt_block_is_refused(tmp_path: Path):
    data = bytearray(gzip.compress(nib.Nifti1Image(np.ones((9, 9, 9), np.int16), np.eye(4)).to_bytes()))
    data[-6] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(data)
    with pytest.raises(ImagingError, match=r"a\.nii\.gz"):
        read_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("content", [b"", b"no image at all", b"x" * 400, gzip.compress(b"nothing", mtime=0)])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(ImagingError, match=r"a\.nii\.gz"):
        read_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan, np.inf])
def test_impossible_spacing_is_refused(tmp_path: Path, spacing: float):
    data = bytearray(nib.Nifti1Image(np.ones((3, 3, 3), np.int16), np.eye(4)).to_bytes())
    data[80:84] = np.float32(spacing).tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(ImagingError, match="spacing"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colour_and_complex_numbers_are_refused(tmp_path: Path, dtype: object):
    image = nib.Nifti1Image(np.zeros((3, 3, 3), np.dtype(dtype)), np.eye(4))
    (tmp_path / "a.nii").write_bytes(image.to_bytes())
    with pytest.raises(ImagingError, match="one real number"):
        read_volume(tmp_path / "a.nii")


def test_a_size_that_nothing_could_hold_is_refused(tmp_path: Path):
    data = bytearray(nib.Nifti1Image(np.ones((3, 3, 3), np.int16), np.eye(4)).to_bytes())
    data[42:48] = np.array([32767] * 3, "<i2").tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(ImagingError, match="truncated: 54 bytes"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize(("quaternion", "sound"), [((0.9, 0.9, 0.9), False), ((1.00002, 0.0, 0.0), True)])
def test_quaternions_may_be_rounded_but_not_impossible(
    tmp_path: Path, quaternion: tuple[float, float, float], sound: bool
):
    image = nib.Nifti1Image(np.ones((3, 3, 3), np.int16), None)
    image.header["qform_code"] = 1
    data = bytearray(image.to_bytes())
    data[252:254] = np.int16(1).tobytes()
    data[256:268] = np.array(quaternion, "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    if sound:
        np.testing.assert_allclose(read_volume(tmp_path / "a.nii").direction, np.diag([-1.0, 1.0, -1.0]), atol=1e-5)
        return
    with pytest.raises(ImagingError, match=r"a\.nii: unreadable orientation"):
        read_volume(tmp_path / "a.nii")


def test_two_dimensional_file_without_handedness_is_planar(tmp_path: Path):
    image = nib.Nifti1Image(np.ones((4, 3), np.int16), None)
    image.header.set_zooms((0.5, 0.25))
    data = bytearray(image.to_bytes())
    data[76:80] = np.float32(0).tobytes()
    data[88:92] = np.float32(0).tobytes()
    data[252:254] = np.int16(1).tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    volume = read_volume(tmp_path / "a.nii")
    assert volume.shape == (4, 3, 1)
    np.testing.assert_allclose(volume.spacing_mm, (0.5, 0.25, 1.0))


@pytest.mark.parametrize(("dtype", "order"), [("uint8", "C"), ("int16", "F"), ("float32", "C")])
def test_the_bytes_are_those_that_nibabel_writes(tmp_path: Path, awkward: Volume, dtype: str, order: str):
    volume = Volume(np.asarray(awkward.array, dtype, order), awkward.affine, Units.INTENSITY, spacing_known=False)
    write_volume(tmp_path / "a.nii", volume)
    ours = nib.load(tmp_path / "a.nii")
    again = nib.Nifti1Image(volume.array, ours.affine, ours.header, dtype=dtype)
    again.header.set_slope_inter(1.0, 0.0)
    assert again.to_bytes() == (tmp_path / "a.nii").read_bytes()
