import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import Units, Volume, read_mask, read_volume

ROWS = np.array([[0, 50, 100], [150, 200, 250]], dtype=np.uint8)


def test_columns_run_along_i_and_rows_along_j(tmp_path: Path):
    Image.fromarray(ROWS).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    assert volume.shape == (3, 2, 1)
    assert volume.array[2, 0, 0] == 100
    assert volume.array[0, 1, 0] == 150
    assert not volume.spacing_known
    np.testing.assert_array_equal(volume.affine, np.eye(4))
    assert volume.metadata == {}


def test_sixteen_bits_are_kept(tmp_path: Path):
    Image.fromarray(ROWS.astype(np.uint16) * 257).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    assert volume.array.dtype == np.uint16
    assert volume.array.max() == 250 * 257


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_grey_in_colour_clothes_keeps_its_values_and_is_noted(tmp_path: Path, mode: str):
    Image.fromarray(ROWS).convert(mode).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.array[:, :, 0].T, ROWS)
    assert volume.metadata["greyscale"].startswith(f"from {mode} by luminance")


def test_luminance_follows_itu_r_601(tmp_path: Path):
    Image.new("RGB", (1, 1), (200, 100, 50)).save(tmp_path / "a.png")
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert abs(int(read_volume(tmp_path / "a.png").array[0, 0, 0]) - grey) <= 1


def test_camera_orientation_is_honoured(tmp_path: Path):
    picture = Image.fromarray(np.kron(ROWS, np.ones((16, 16), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    volume = read_volume(tmp_path / "a.jpg")
    assert volume.shape == (32, 48, 1)
    expected = np.kron(np.rot90(ROWS, -1), np.ones((16, 16), np.uint8))
    assert np.abs(volume.array[:, :, 0].T.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("cut", [0.0, 0.1, 0.6])
def test_truncation_is_refused(tmp_path: Path, suffix: str, cut: float):
    noise = np.random.default_rng(0).integers(0, 255, (80, 80)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(ImagingError, match=rf"a\{suffix}"):
        read_volume(tmp_path / f"a{suffix}")


def test_another_format_under_the_name_is_refused(tmp_path: Path):
    Image.fromarray(ROWS).save(tmp_path / "a.png", format="BMP")
    with pytest.raises(ImagingError, match="no PNG or JPEG"):
        read_volume(tmp_path / "a.png")


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused(tmp_path: Path, side: int):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(ImagingError, match="pixels"):
        read_volume(tmp_path / "a.png")


def test_an_animation_is_refused(tmp_path: Path):
    frames = [Image.fromarray(ROWS), Image.fromarray(255 - ROWS)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ImagingError, match="animation"):
        read_volume(tmp_path / "a.png")


def labels() -> np.ndarray:
    return np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_mask_values_are_exact(tmp_path: Path, mode: str):
    Image.fromarray(labels()).convert(mode).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png")
    np.testing.assert_array_equal(mask.array[:, :, 0].T, labels())
    assert mask.units is Units.LABEL


def test_palette_mask_gives_indices_not_colours(tmp_path: Path):
    image = Image.fromarray(labels())
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png").array[:, :, 0].T, labels())


def test_one_bit_and_sixteen_bit_masks(tmp_path: Path):
    Image.fromarray(labels() > 0).save(tmp_path / "one.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "one.png").array[:, :, 0].T, labels() > 0)
    Image.fromarray(labels().astype(np.uint16) * 1000).save(tmp_path / "sixteen.png")
    mask = read_mask(tmp_path / "sixteen.png")
    assert mask.array.dtype == np.uint16
    assert mask.array.max() == 2000


def test_coloured_mask_is_refused(tmp_path: Path):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "m.png")
    with pytest.raises(ImagingError, match="colours"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("name", ["m.jpg", "m.png"])
def test_jpeg_mask_is_refused_whatever_its_name(tmp_path: Path, name: str):
    Image.fromarray(labels()).save(tmp_path / name, format="JPEG")
    with pytest.raises(ImagingError, match="alters labels"):
        read_mask(tmp_path / name)


def test_mask_of_another_size_is_refused(tmp_path: Path):
    Image.fromarray(labels()).save(tmp_path / "m.png")
    image = Volume(np.zeros((3, 3, 1)), np.eye(4), Units.INTENSITY, spacing_known=False)
    with pytest.raises(GeometryError, match=r"\(3, 2, 1\).*\(3, 3, 1\)"):
        read_mask(tmp_path / "m.png", image)
