from pathlib import Path

import numpy as np
import pytest

from trialscan.errors import GeometryError, ImagingError
from trialscan.imaging import Units, Volume, affine_from, write_volume, write_volumes


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha"])
def test_rewriting_gives_the_same_bytes_whatever_the_name(tmp_path: Path, awkward: Volume, suffix: str):
    write_volume(tmp_path / f"a{suffix}", awkward)
    write_volume(tmp_path / f"another name{suffix}", awkward)
    in_c_order = Volume(np.ascontiguousarray(awkward.array), awkward.affine, awkward.units)
    in_f_order = Volume(np.asfortranarray(awkward.array), awkward.affine, awkward.units)
    write_volume(tmp_path / f"c{suffix}", in_c_order)
    write_volume(tmp_path / f"f{suffix}", in_f_order)
    contents = {file.read_bytes() for file in tmp_path.iterdir()}
    assert len(contents) == 1


def test_gzip_carries_no_time_and_no_name(tmp_path: Path, awkward: Volume):
    write_volume(tmp_path / "a.nii.gz", awkward)
    header = (tmp_path / "a.nii.gz").read_bytes()[:10]
    assert header[3] == 0
    assert header[4:8] == b"\0\0\0\0"


def test_nothing_but_the_file_is_left(tmp_path: Path, awkward: Volume):
    write_volume(tmp_path / "a.mha", awkward)
    write_volume(tmp_path / "a.nii.gz", awkward)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mha", "a.nii.gz"]


@pytest.mark.parametrize("name", ["a.png", "a.nrrd", "a"])
def test_other_formats_are_refused(tmp_path: Path, awkward: Volume, name: str):
    with pytest.raises(ImagingError, match="suffix"):
        write_volume(tmp_path / name, awkward)


@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", "complex64"])
def test_types_that_readers_do_not_share_are_refused(tmp_path: Path, dtype: str):
    volume = Volume(np.zeros((2, 2, 2), dtype), np.eye(4), Units.INTENSITY)
    for name in ("a.nii.gz", "a.mha"):
        with pytest.raises(ImagingError, match=dtype):
            write_volume(tmp_path / name, volume)


def test_sheared_axes_do_not_fit_mha(tmp_path: Path):
    affine = affine_from((1.0, 1.0, 1.0))
    affine[0, 1] = 0.2
    with pytest.raises(GeometryError, match="right angles"):
        write_volume(tmp_path / "a.mha", Volume(np.zeros((2, 2, 2), np.uint8), affine, Units.LABEL))


def test_several_files_at_once_are_the_same_as_one_by_one(tmp_path: Path, awkward: Volume):
    write_volumes({tmp_path / f"{name}.nii.gz": awkward for name in "ab"})
    write_volume(tmp_path / "c.nii.gz", awkward)
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1
    with pytest.raises(ImagingError, match="suffix"):
        write_volumes({tmp_path / "d.nii.gz": awkward, tmp_path / "e.png": awkward})
