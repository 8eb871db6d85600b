"""What `trialscan evaluate` writes and draws."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from trialscan.cli.evaluate import evaluate
from trialscan.errors import UsageError
from trialscan.imaging import Units, Volume, affine_from, write_volume

TABLES = ("scans", "lesions", "detection", "agreement", "summary")


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scans of one to three boxes, predicted shifted, with probabilities, and a scan without lesions."""
    folder = tmp_path_factory.mktemp("masks")
    random = np.random.default_rng(0)
    for name in ("predicted", "reference", "said"):
        (folder / name).mkdir()
    for n in range(6):
        reference, predicted = np.zeros((2, 30, 20, 16), np.uint8)
        for place in range(n % 4 if n else 0):
            size = int(random.integers(2, 7))
            reference[10 * place : 10 * place + size, 4:10, 4 : 4 + size] = 1
            predicted[10 * place + 1 : 10 * place + size + n % 2, 4:10, 4 : 4 + size] = place != 2
        affine = affine_from((2.0, 2.0, 4.0))
        write_volume(folder / "reference" / f"s{n}.nii.gz", Volume(reference, affine, Units.LABEL))
        write_volume(folder / "predicted" / f"s{n}.nii.gz", Volume(predicted, affine, Units.LABEL))
        said = np.clip(0.05 + 0.8 * predicted + random.normal(0, 0.01, predicted.shape), 0, 1).astype(np.float32)
        write_volume(folder / "said" / f"s{n}.nii.gz", Volume(said, affine, Units.INTENSITY))
    return folder


def command(*arguments: object):
    return CliRunner().invoke(evaluate, [str(each) for each in arguments], standalone_mode=False)


def test_a_folder_gets_every_table_a_figure_and_the_same_bytes_again(masks, tmp_path):
    arguments = (masks / "predicted", masks / "reference", "--probabilities", masks / "said", "--out")
    for name in ("one", "two"):
        result = command(*arguments, tmp_path / name)
        assert (result.exception, result.return_value) == (None, 0)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    tables = [f"{name}.{kind}" for name in (*TABLES, "reliability") for kind in ("csv", "parquet")]
    assert files == sorted([*tables, "evaluation.svg", "evaluation.csv", "evaluation.json"])
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    facts = json.loads((tmp_path / "one" / "evaluation.json").read_text())
    for name in TABLES:
        read = pd.read_csv(tmp_path / "one" / f"{name}.csv", dtype={"label": str})
        assert len(facts[name]) == len(read)
        assert list(facts[name][0]) == list(read.columns)
    assert facts["criteria"] == {"bands_ml": [0.1, 0.5, 2.0, 10.0], "least_overlap": 0.0}
    assert "NaN" not in (tmp_path / "one" / "evaluation.json").read_text()


def test_what_is_drawn_is_what_the_tables_hold(masks, tmp_path):
    command(masks / "predicted", masks / "reference", "--probabilities", masks / "said", "--out", tmp_path)
    drawn = pd.read_csv(tmp_path / "evaluation.csv")
    scans, lesions, agreement = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("scans", "lesions", "agreement"))
    burden = drawn[drawn["pane"] == "burden"]
    assert burden[["x", "y"]].to_numpy().tolist() == scans[["reference_ml", "predicted_ml"]].to_numpy().tolist()
    limits = drawn[drawn["pane"] == "limits_of_agreement"].set_index("name")
    for name in ("bias", "lower_limit", "upper_limit"):
        (row,) = agreement[agreement["statistic"] == name].itertuples()
        assert limits.loc[name, ["y", "lower", "upper"]].tolist() == [row.value, row.lower, row.upper]
    dice = drawn[drawn["pane"] == "dice_by_size"]
    assert dice["y"].tolist() == lesions.loc[lesions["side"] == "reference", "dice"].tolist()
    reliability = pd.read_csv(tmp_path / "reliability.csv")
    assert (drawn["pane"] == "reliability").sum() == (reliability["voxels"] > 0).sum()
    svg = (tmp_path / "evaluation.svg").read_text()
    ET.fromstring(svg)  # noqa: S314 - a file of our own
    for words in ("Predicted burden, ml", "Predicted − reference, ml", "Dice of each lesion", "predicted probability"):
        assert words in svg
    assert not re.search(r"\$|mathdefault", svg)


def test_an_evaluation_without_probabilities_removes_the_reliability_of_an_earlier_one(masks, tmp_path):
    (tmp_path / "notes.txt").write_text("kept")
    command(masks / "predicted", masks / "reference", "--probabilities", masks / "said", "--out", tmp_path)
    assert (tmp_path / "reliability.csv").exists()
    command(masks / "predicted", masks / "reference", "--out", tmp_path)
    assert not list(tmp_path.glob("reliability*"))
    assert (tmp_path / "notes.txt").exists()


def test_a_file_of_another_kind_is_not_overwritten(masks, tmp_path):
    (tmp_path / "notes.txt").write_text("kept")
    pair = (masks / "predicted" / "s1.nii.gz", masks / "reference" / "s1.nii.gz")
    assert isinstance(command(*pair, "--out", tmp_path / "notes.txt").exception, UsageError)
    assert (tmp_path / "notes.txt").read_text() == "kept"


def test_empty_masks_alone_have_tables_and_no_figure(masks, tmp_path):
    one = command(masks / "predicted" / "s0.nii.gz", masks / "reference" / "s0.nii.gz", "--out", tmp_path / "out")
    assert one.exception is None
    assert "dice 1," in one.output
    assert not (tmp_path / "out" / "evaluation.svg").exists()
    assert pd.read_csv(tmp_path / "out" / "lesions.csv").empty


def test_a_scan_that_fails_is_named_in_the_exit_code_and_the_text(masks, tmp_path):
    (tmp_path / "predicted").mkdir()
    for path in (masks / "predicted").iterdir():
        (tmp_path / "predicted" / path.name).write_bytes(path.read_bytes() if "s3" not in path.name else b"broken")
    result = command(tmp_path / "predicted", masks / "reference", "--out", tmp_path / "scans.csv")
    assert result.return_value == 4
    assert "s3 label any: failed: s3.nii.gz" in result.output
    assert pd.read_csv(tmp_path / "scans.csv")["status"].tolist().count("failed") == 1


def test_size_bands_and_the_share_that_counts_as_found_can_be_told(masks):
    arguments = (masks / "predicted", masks / "reference", "--json")
    some = json.loads(command(*arguments, "--bands", "0.3,3", "--lesion-overlap", "0.7").output)
    assert [(row["from_ml"], row["below_ml"]) for row in some["detection"] if row["scope"] == "band"] == [
        *((0.0, 0.3), (0.3, 3.0), (3.0, None))
    ]
    usual = json.loads(command(*arguments).output)
    assert some["detection"][0]["recall"] < usual["detection"][0]["recall"] < 1
    assert "some: volumes in ml" in str(command(*arguments, "--bands", "some").exception)
    assert isinstance(command(*arguments, "--bands", "3,1").exception, UsageError)
