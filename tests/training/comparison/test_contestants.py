"""Experiments are read from their folders, and refused beside each other where the cases are not the same."""

from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from trialscan.errors import InputError
from trialscan.training.comparison import read_contest


def experiment(folder: Path, name: str = "tuning", snapshot: str = "5" * 64, cases: int = 4) -> Path:
    folder.mkdir()
    lock = {"name": name, "snapshot_sha256": snapshot, "start_sha256": {"tuned": "a" * 64, "scratch": "b" * 64}}
    with (folder / "experiment.lock.yaml").open("w") as stream:
        YAML().dump(lock, stream)
    rows = [
        {
            "variant": variant,
            "seed": seed,
            "fold": case % 2,
            "case_id": f"00{case}",
            "patient_id": f"0{case // 2}",
            "group": f"0{case // 2}",
            "label": "lesion",
            "dice": gain + 0.1 * seed,
            "hd95_mm": "",
            "reference_size": 10.0,
            "size_unit": "pixels",
            "attribute_site": "01",
        }
        for variant, gain in (("tuned", 0.6), ("scratch", 0.5))
        for seed in (0, 1)
        for case in range(cases)
    ]
    pd.DataFrame(rows).to_csv(folder / "cases.csv", index=False)
    return folder


def test_scores_are_means_over_seeds_and_names_stay_text(tmp_path: Path) -> None:
    contest = read_contest([experiment(tmp_path / "one")])
    scores = contest.scores("lesion")
    assert scores["tuning/tuned"].tolist() == pytest.approx([0.65] * 4)
    assert scores["tuning/scratch"].tolist() == pytest.approx([0.55] * 4)
    assert scores.index.tolist() == ["000", "001", "002", "003"]
    assert contest.facts("lesion")["attribute_site"].tolist() == ["01"] * 4
    assert contest.contestants[0].start == "a" * 64


def test_a_metric_that_no_case_has_leaves_none(tmp_path: Path) -> None:
    assert read_contest([experiment(tmp_path / "one")], "hd95_mm").scores("lesion").empty


def test_every_reason_that_they_cannot_be_compared_is_told(tmp_path: Path) -> None:
    first = experiment(tmp_path / "one")
    with pytest.raises(InputError) as caught:
        read_contest([first, experiment(tmp_path / "two"), experiment(tmp_path / "three", "other", "6" * 64)])
    assert "tuning/tuned: two experiments of one name" in str(caught.value)
    assert "other/scratch: learnt from snapshot 666666666666" in str(caught.value)
    with pytest.raises(InputError, match="judged on 3 cases and labels, tuning/tuned on 4; they differ in 003 lesion"):
        read_contest([first, experiment(tmp_path / "four", "fewer", cases=3)])


def test_a_folder_that_is_no_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no experiment\.lock\.yaml; expected the folder of a finished experiment"):
        read_contest([tmp_path])
