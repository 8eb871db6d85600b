from pathlib import Path

import numpy as np
import pytest

from trialscan.errors import ImagingError
from trialscan.imaging import Units, Volume, read_volume, write_volume


def test_units_are_the_callers_word(tmp_path: Path):
    write_volume(tmp_path / "a.NII.gz", Volume(np.zeros((2, 2, 2), np.int16), np.eye(4), Units.HU))
    assert read_volume(tmp_path / "a.NII.gz").units is Units.INTENSITY
    assert read_volume(tmp_path / "a.NII.gz", Units.SUV).units is Units.SUV


def test_absent_and_unknown_files_are_named(tmp_path: Path):
    with pytest.raises(ImagingError, match=r"absent\.nii: not found"):
        read_volume(tmp_path / "absent.nii")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ImagingError, match=r"notes\.txt: an unknown kind of file; expected one of \.nii"):
        read_volume(tmp_path / "notes.txt")


def test_an_impossible_grid_names_its_file(tmp_path: Path):
    write_volume(tmp_path / "a.nii", Volume(np.zeros((2, 2, 2), np.int16), np.eye(4), Units.HU))
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[280:296] = bytes(16)
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(ImagingError, match=r"a\.nii: volume: an affine that cannot be inverted"):
        read_volume(tmp_path / "a.nii")


def test_messages_hold_no_folder(tmp_path: Path):
    for name in ("absent.nii", "empty.nii.gz", "empty.mha", "empty.nrrd", "empty.png", "empty.dcm"):
        if name.startswith("empty"):
            (tmp_path / name).write_bytes(b"")
        with pytest.raises(ImagingError) as caught:
            read_volume(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)
        assert "\n" not in str(caught.value)
