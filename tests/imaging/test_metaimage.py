import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import ImagingError
from trialscan.imaging import Units, Volume, read_volume, to_sitk, write_volume

SPACING = rb"ElementSpacing = [^\n]*"


def noise() -> Volume:
    """Voxels that hardly compress, so that a cut goes through them."""
    array = np.random.default_rng(0).integers(-1000, 1000, (12, 10, 8)).astype(np.int16)
    return Volume(array, np.diag([0.5, 0.75, 2.0, 1.0]), Units.HU)


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd"])
@pytest.mark.parametrize("compress", [True, False])
def test_reads_what_itk_writes(tmp_path: Path, awkward: Volume, suffix: str, compress: bool):
    sitk.WriteImage(to_sitk(awkward), str(tmp_path / f"a{suffix}"), compress)
    again = read_volume(tmp_path / f"a{suffix}", Units.HU)
    np.testing.assert_array_equal(again.array, awkward.array)
    np.testing.assert_allclose(again.affine, awkward.affine, atol=1e-9)
    assert again.spacing_known


def test_round_trip_of_mha(tmp_path: Path, awkward: Volume):
    write_volume(tmp_path / "a.mha", awkward)
    again = read_volume(tmp_path / "a.mha", Units.HU)
    np.testing.assert_array_equal(again.array, awkward.array)
    np.testing.assert_allclose(again.affine, awkward.affine, atol=1e-9)


def test_unknown_spacing_stays_unknown(tmp_path: Path):
    picture = Volume(np.ones((4, 3, 1), np.uint8), np.eye(4), Units.LABEL, spacing_known=False)
    write_volume(tmp_path / "a.mha", picture)
    assert not read_volume(tmp_path / "a.mha").spacing_known


def test_header_without_spacing_means_unknown(tmp_path: Path):
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / "a.mha"), False)
    data = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(re.sub(SPACING, b"Comment = none", data))
    assert not read_volume(tmp_path / "a.mha").spacing_known
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / "a.nrrd"), False)
    data = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "a.nrrd").write_bytes(re.sub(rb"\n(space|kinds)[^\n]*", b"", data))
    assert not read_volume(tmp_path / "a.nrrd").spacing_known


def test_ras_nrrd_is_brought_to_lps(tmp_path: Path):
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / "a.nrrd"), False)
    data = (tmp_path / "a.nrrd").read_bytes().replace(b"left-posterior-superior", b"right-anterior-superior")
    (tmp_path / "a.nrrd").write_bytes(data)
    np.testing.assert_allclose(read_volume(tmp_path / "a.nrrd").affine, np.diag([-0.5, -0.75, 2.0, 1.0]))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("cut", [0.05, 0.5, 0.95])
def test_truncation_is_refused_without_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, compress: bool, cut: float
):
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / f"a{suffix}"), compress)
    data = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(ImagingError, match=rf"a\{suffix}"):
        read_volume(tmp_path / f"a{suffix}")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_corrupt_voxels_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str):
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / f"a{suffix}"), True)
    data = bytearray((tmp_path / f"a{suffix}").read_bytes())
    data[-200] ^= 0xFF
    (tmp_path / f"a{suffix}").write_bytes(data)
    with pytest.raises(ImagingError, match="corrupt"):
        read_volume(tmp_path / f"a{suffix}")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("spacing", ["0 1 1", "nan 1 1", "-1 1 1", "inf 1 1", "a b c"])
def test_impossible_spacing_is_refused(tmp_path: Path, spacing: float):
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / "a.mha"), False)
    data = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(re.sub(SPACING, b"ElementSpacing = " + spacing.encode(), data))
    with pytest.raises(ImagingError, match="ElementSpacing"):
        read_volume(tmp_path / "a.mha")


def test_a_position_that_is_no_number_is_refused(tmp_path: Path):
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / "a.mha"), False)
    data = (tmp_path / "a.mha").read_bytes().replace(b"Offset = 0", b"Offset = nan")
    (tmp_path / "a.mha").write_bytes(data)
    with pytest.raises(ImagingError, match="Offset"):
        read_volume(tmp_path / "a.mha")


def test_zero_spacing_of_nrrd_is_refused(tmp_path: Path):
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / "a.nrrd"), False)
    data = (tmp_path / "a.nrrd").read_bytes().replace(b"(0.5,0,0)", b"(0,0,0)")
    (tmp_path / "a.nrrd").write_bytes(data)
    with pytest.raises(ImagingError, match=r"a\.nrrd"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["../outside.raw", "/etc/hostname", "absent.raw"])
def test_voxels_outside_the_folder_are_refused(tmp_path: Path, name: str):
    inside = tmp_path / "inside"
    inside.mkdir()
    sitk.WriteImage(to_sitk(noise()), str(inside / "a.mhd"), False)
    (inside / "a.raw").replace(tmp_path / "outside.raw")
    header = (inside / "a.mhd").read_text().replace("a.raw", name)
    (inside / "a.mhd").write_text(header)
    with pytest.raises(ImagingError, match="own folder"):
        read_volume(inside / "a.mhd")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("content", [b"", b"hello world", b"\x00" * 300])
def test_a_file_that_is_none_is_refused(tmp_path: Path, suffix: str, content: bytes):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(ImagingError, match=rf"a\{suffix}"):
        read_volume(tmp_path / f"a{suffix}")


def test_sheared_axes_are_kept_as_they_are(tmp_path: Path):
    sitk.WriteImage(to_sitk(noise()), str(tmp_path / "a.nrrd"), False)
    data = (tmp_path / "a.nrrd").read_bytes().replace(b"(0,0.75,0)", b"(0.3,0.75,0)")
    (tmp_path / "a.nrrd").write_bytes(data)
    np.testing.assert_allclose(read_volume(tmp_path / "a.nrrd").affine[:3, 1], [0.3, 0.75, 0.0], atol=1e-12)
