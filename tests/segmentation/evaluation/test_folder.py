"""Mask files compared by pair and by folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trialscan.errors import GeometryError, UsageError
from trialscan.imaging import Units, Volume, affine_from, write_volume
from trialscan.segmentation.evaluation import Criteria, evaluate

SIZES = (2, 3, 4, 5, 6, 7)


def write(path: Path, *labels: int, spacing: float = 1.0) -> None:
    array = np.zeros((8, 8, 8), dtype=np.uint8)
    for n, label in enumerate(labels):
        array[2 * n : 2 * n + 2] = label
    write_volume(path, Volume(array, affine_from((spacing,) * 3), Units.LABEL))


def write_block(path: Path, length: int) -> None:
    array = np.zeros((10, 10, 10), dtype=np.uint8)
    array[1 : 1 + length, 2:7, 2:7] = 1
    path.parent.mkdir(exist_ok=True)
    write_volume(path, Volume(array, affine_from((2.0, 2.0, 2.0)), Units.LABEL))


@pytest.fixture
def blocks(tmp_path):
    """Blocks of 0.2 ml a slice, predicted one slice too long in every other scan, and an empty pair."""
    for n, length in enumerate((0, *SIZES)):
        write_block(tmp_path / "reference" / f"s{n}.nii.gz", length)
        write_block(tmp_path / "predicted" / f"s{n}.nii.gz", length + (n % 2 if length else 0))
    return tmp_path


def test_folders_are_matched_by_name_and_each_label_gets_a_row(tmp_path):
    for folder in ("predicted", "reference"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "b.nii.gz", 1, 2)
        write(tmp_path / folder / "a.nii.gz", 1)
    scans = evaluate(tmp_path / "predicted", tmp_path / "reference").scans
    assert list(zip(scans["name"], scans["label"], strict=True)) == [
        *(("a", "any"), ("a", "1"), ("a", "2")),  # a class that only other scans hold is absent from both masks of this
        *(("b", "any"), ("b", "1"), ("b", "2")),
    ]
    assert (scans["dice"] == 1).all()
    assert scans["reference_ml"].tolist() == pytest.approx([0.128, 0.128, 0, 0.256, 0.128, 0.128])
    alone = evaluate(tmp_path / "predicted" / "a.nii.gz", tmp_path / "reference" / "a.nii.gz")
    assert alone.scans["label"].tolist() == ["any"]


def test_swapped_labels_agree_as_any_and_not_as_classes(tmp_path):
    write(tmp_path / "p.nii.gz", 1, 2)
    write(tmp_path / "r.nii.gz", 2, 1)
    scans = evaluate(tmp_path / "p.nii.gz", tmp_path / "r.nii.gz").scans
    assert dict(zip(scans["label"], scans["dice"], strict=True)) == {"any": 1.0, "1": 0.0, "2": 0.0}


def test_a_mask_without_partner_is_named(tmp_path):
    for folder, name in (("predicted", "a.nii.gz"), ("reference", "b.nii.gz"), ("maps", "a.nii.gz")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / name, 1)
    with pytest.raises(UsageError, match="a, b"):
        evaluate(tmp_path / "predicted", tmp_path / "reference")
    with pytest.raises(UsageError, match="no partner for b"):
        evaluate(tmp_path / "reference", tmp_path / "reference", probabilities=tmp_path / "maps")


def test_a_file_and_a_folder_are_refused(tmp_path):
    write(tmp_path / "p.nii.gz", 1)
    with pytest.raises(UsageError, match="two mask files or two folders"):
        evaluate(tmp_path / "p.nii.gz", tmp_path)


@pytest.mark.parametrize("criteria", [{"bands_ml": (1.0, 0.5)}, {"bands_ml": (0.0, 1.0)}, {"least_overlap": 1.0}])
def test_criteria_that_make_no_sense_are_refused(criteria):
    with pytest.raises(UsageError):
        Criteria(**criteria)


def test_grids_that_differ_are_refused_and_cost_a_folder_only_their_scan(tmp_path):
    for folder, spacing in (("predicted", 1.0), ("reference", 2.0)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "other.nii.gz", 1, spacing=spacing)
        write(tmp_path / folder / "same.nii.gz", 1)
    with pytest.raises(GeometryError):
        evaluate(tmp_path / "predicted" / "other.nii.gz", tmp_path / "reference" / "other.nii.gz")
    found = evaluate(tmp_path / "predicted", tmp_path / "reference")
    assert found.failed == ("other",)
    assert "grid" in found.scans["message"].iloc[0]
    assert found.scans["status"].tolist() == ["failed", "ok"]
    assert found.detection["reference_lesions"].tolist()[0] == 1


def test_tables_of_a_folder_are_those_of_its_volumes(blocks):
    found = evaluate(blocks / "predicted", blocks / "reference")
    stated = found.agreement.set_index("statistic")
    gaps = np.array([0, *([0.2, 0.0] * 3)])
    assert stated.loc["bias", "value"] == pytest.approx(gaps.mean())
    assert stated.loc["upper_limit", "value"] == pytest.approx(gaps.mean() + 1.959964 * gaps.std(ddof=1))
    assert stated.loc["mean_absolute_difference", "value"] == pytest.approx(gaps.mean())
    ratios = np.log([1 + (n + 1) % 2 / length for n, length in enumerate(SIZES)])
    assert stated.loc["bias_percent", "value"] == pytest.approx(100 * np.expm1(ratios.mean()))
    assert stated["n"].tolist()[-1] == 7
    assert stated.loc["bias_percent", "n"] == 6
    summary = found.summary.set_index(["subset", "metric"])
    dice = [1.0, *(2 * length / (2 * length + (n + 1) % 2) for n, length in enumerate(SIZES))]
    assert summary.loc[("all", "dice"), "mean"] == pytest.approx(np.mean(dice))
    assert summary.loc[("with_reference", "dice"), "mean"] == pytest.approx(np.mean(dice[1:]))
    assert summary.loc[("all", "dice"), "sd"] == pytest.approx(np.std(dice, ddof=1))
    assert summary.loc[("all", "lesion_recall"), ["n", "undefined"]].tolist() == [6, 1]
    bands = found.detection.set_index(["scope", "from_ml"])["reference_lesions"]
    assert bands.loc["band"].tolist() == [0, 1, 5, 0, 0]  # 0.4 ml, then 0.6 to 1.4 ml
    assert bands.loc["from"].tolist() == [6, 5, 0]
    assert len(found.lesions) == 12
    again = evaluate(blocks / "predicted", blocks / "reference")
    assert all(table.equals(again.tables()[name]) for name, table in found.tables().items())


def test_two_scans_have_no_agreement_and_no_failed_scan_counts(blocks):
    for n in range(2, 7):
        (blocks / "predicted" / f"s{n}.nii.gz").write_bytes(b"no image")
    found = evaluate(blocks / "predicted", blocks / "reference")
    assert len(found.failed) == 5
    assert found.agreement.empty
    assert found.detection["scans"].unique().tolist() == [2]
    for n in range(2):
        (blocks / "predicted" / f"s{n}.nii.gz").write_bytes(b"no image")
    none = evaluate(blocks / "predicted", blocks / "reference")
    assert len(none.failed) == 7
    assert all(none.tables()[name].empty for name in ("lesions", "detection", "agreement", "summary"))


def test_probabilities_are_taken_from_the_box_around_the_masks(tmp_path):
    labels = np.zeros((40, 40, 40), dtype=np.uint8)
    labels[18:22, 18:22, 18:22] = 1
    said = np.full(labels.shape, 0.0, dtype=np.float32)
    said[8:32, 8:32, 8:32] = 0.25
    affine = affine_from((1.0, 1.0, 1.0))
    write_volume(tmp_path / "mask.nii.gz", Volume(labels, affine, Units.LABEL))
    write_volume(tmp_path / "said.nii.gz", Volume(said, affine, Units.INTENSITY))
    mask = tmp_path / "mask.nii.gz"
    found = evaluate(mask, mask, probabilities=tmp_path / "said.nii.gz")
    assert found.reliability["voxels"].sum() == 24**3
    share = 64 / 24**3
    assert found.calibration["expected_calibration_error"] == pytest.approx(0.25 - share)
    assert found.scans["brier_score"][0] == pytest.approx(share * 0.75**2 + (1 - share) * 0.25**2)
    small = Volume(said[1:], affine, Units.INTENSITY)
    write_volume(tmp_path / "small.nii.gz", small)
    with pytest.raises(GeometryError, match=r"small\.nii\.gz: probabilities of shape"):
        evaluate(mask, mask, probabilities=tmp_path / "small.nii.gz")


def test_pictures_without_spacing_are_compared_in_pixels(tmp_path):
    for folder in ("p", "r"):
        (tmp_path / folder).mkdir()
        for n in range(3):
            array = np.zeros((20, 24, 1), dtype=np.uint8)
            array[2 : 8 + n + (folder == "p"), 4:9] = 1
            Image.fromarray(array[:, :, 0].T).save(tmp_path / folder / f"{n}.png")
    found = evaluate(tmp_path / "p", tmp_path / "r")
    assert found.scans["hd95_mm"].isna().all()
    assert found.scans["hd95_pixels"].tolist() == [1, 1, 1]
    assert found.agreement["unit"].unique().tolist() == ["voxels"]
    assert found.agreement.set_index("statistic").loc["bias", "value"] == 5
    assert found.detection["scope"].tolist() == ["all"]
