from pathlib import Path

import numpy as np
import pytest

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import Units, Volume, read_mask, write_volume


def save(path: Path, values: np.ndarray, affine: np.ndarray = None):
    write_volume(path, Volume(values, np.eye(4) if affine is None else affine, Units.INTENSITY))
    return path


def test_whole_floats_become_labels(tmp_path: Path):
    mask = read_mask(save(tmp_path / "m.nii.gz", np.array([[[0.0, 1.0, 255.0]]], np.float32)))
    assert mask.array.dtype == np.uint8
    assert mask.array.ravel().tolist() == [0, 1, 255]
    assert mask.units is Units.LABEL


def test_large_labels_keep_sixteen_bits(tmp_path: Path):
    mask = read_mask(save(tmp_path / "m.nii.gz", np.array([[[0, 65535]]], np.int32)))
    assert mask.array.dtype == np.uint16
    assert mask.array.max() == 65535


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[[0.0, 0.5, 1.0]]], np.float32), "1 voxels such as 0.5"),
        (np.array([[[0.0, np.nan, 1.0]]], np.float32), "1 voxels such as nan"),
        (np.array([[[0, -1, -2]]], np.int16), "2 voxels such as -2, -1"),
        (np.array([[[0, 65536]]], np.int32), "1 voxels such as 65536"),
    ],
)
def test_other_numbers_are_refused_by_name(tmp_path: Path, values: np.ndarray, message: str):
    with pytest.raises(ImagingError, match=rf"m\.nii\.gz: {message}"):
        read_mask(save(tmp_path / "m.nii.gz", values))


def test_mask_takes_the_exact_grid_of_its_image(tmp_path: Path, awkward: Volume):
    save(tmp_path / "m.nii.gz", (awkward.array > 0).astype(np.uint8), awkward.affine)
    mask = read_mask(tmp_path / "m.nii.gz", awkward)
    np.testing.assert_array_equal(mask.affine, awkward.affine)
    np.testing.assert_array_equal(mask.array, awkward.array > 0)


def test_moved_or_cropped_mask_is_refused(tmp_path: Path, awkward: Volume):
    moved = awkward.affine.copy()
    moved[2, 3] += 0.1
    labels = np.zeros(awkward.shape, np.uint8)
    with pytest.raises(GeometryError, match=r"m\.nii\.gz.*affine.*image's grid"):
        read_mask(save(tmp_path / "m.nii.gz", labels, moved), awkward)
    with pytest.raises(GeometryError, match=r"shape \(4, 6, 7\)"):
        read_mask(save(tmp_path / "m.nii.gz", labels[1:], awkward.affine), awkward)


def test_absent_mask_is_named(tmp_path: Path):
    for name in ("m.nii.gz", "m.png"):
        with pytest.raises(ImagingError, match=f"{name}: not found"):
            read_mask(tmp_path / name)
