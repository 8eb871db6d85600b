"""Mask files compared by pair and by folder."""

from pathlib import Path

import numpy as np
import pytest

from trialscan.errors import UsageError
from trialscan.imaging import Units, Volume, affine_from, write_volume
from trialscan.segmentation import evaluate


def write(path: Path, *labels: int) -> None:
    array = np.zeros((8, 8, 8), dtype=np.uint8)
    for n, label in enumerate(labels):
        array[2 * n : 2 * n + 2] = label
    write_volume(path, Volume(array, affine_from((1.0, 1.0, 1.0)), Units.LABEL))


def test_folders_are_matched_by_name_and_each_label_gets_a_row(tmp_path):
    for folder in ("predicted", "reference"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "b.nii.gz", 1, 2)
        write(tmp_path / folder / "a.nii.gz", 1)
    rows = evaluate(tmp_path / "predicted", tmp_path / "reference")
    assert [(row["name"], row["label"]) for row in rows] == [("a", "any"), ("b", "any"), ("b", "1"), ("b", "2")]
    assert all(row["dice"] == 1 for row in rows)


def test_swapped_labels_agree_as_any_and_not_as_classes(tmp_path):
    write(tmp_path / "p.nii.gz", 1, 2)
    write(tmp_path / "r.nii.gz", 2, 1)
    dice = {row["label"]: row["dice"] for row in evaluate(tmp_path / "p.nii.gz", tmp_path / "r.nii.gz")}
    assert dice == {"any": 1.0, "1": 0.0, "2": 0.0}


def test_a_mask_without_partner_is_named(tmp_path):
    for folder, name in (("predicted", "a.nii.gz"), ("reference", "b.nii.gz")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / name, 1)
    with pytest.raises(UsageError, match="a, b"):
        evaluate(tmp_path / "predicted", tmp_path / "reference")


def test_a_file_and_a_folder_are_refused(tmp_path):
    write(tmp_path / "p.nii.gz", 1)
    with pytest.raises(UsageError, match="two mask files or two folders"):
        evaluate(tmp_path / "p.nii.gz", tmp_path)
