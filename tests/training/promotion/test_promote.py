"""A fit is promoted if it is better, or with a reason; the bundle carries its lineage, and the act is recorded."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.experiments.tiny_experiments import (
    PLANAR,
    FolderStore,
    Told,
    configuration,
    snapshot_of,
    unrehearsed,
    write_disc,
)
from trialscan.audit import digest_file, read_ledger
from trialscan.errors import InputError, PromotionError, UsageError
from trialscan.imaging import Units, read_mask, read_volume
from trialscan.segmentation import compare_masks, folder_sha256, load_bundle
from trialscan.training.experiments import TrainRequest, train_experiment
from trialscan.training.promotion import PromotionRequest, promote

LONG = PLANAR.replace("epochs: 2", "epochs: 12").replace("iterations: 2", "iterations: 8") + "ema: 0.5\n"


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    root = tmp_path_factory.mktemp("discs")
    cases = [write_disc(root, number) for number in range(16)]
    held_out = tuple(f"p{number}" for number in range(8, 16))
    return FolderStore(root, snapshot_of(root, "discs", cases, {0: "background", 1: "disc"}, held_out=held_out))


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory, discs: FolderStore) -> dict[str, Path]:
    """One that has learnt what discs are, and one of two steps."""
    folder = tmp_path_factory.mktemp("experiments")
    found = {}
    for name, text in (("long", LONG), ("short", PLANAR.replace("learning_rate: 0.01", "learning_rate: 0.00001"))):
        config = configuration(folder, text, f"{name}.yaml")
        train_experiment(TrainRequest(config, folder / name, "cpu"), discs, Told(), unrehearsed)
        found[name] = folder / name / "base/seed-0/fold-0"
    return found


def request(fit: Path, out: Path, **more) -> PromotionRequest:
    return PromotionRequest(fit, out, "1.0.0", "A. Reader", **more)


def test_a_first_model_is_packed_with_what_it_came_from(tmp_path, discs, fits):
    made = promote(request(fits["long"], tmp_path / "discs"), discs)
    assert made.better is None
    assert made.evidence == "held out"
    lineage = json.loads((tmp_path / "discs/docs/lineage.json").read_text())
    assert lineage["snapshot"]["sha256"] == discs.snapshot.digest
    assert lineage["experiment"]["fit"] == "tiny/base/seed-0/fold-0"
    assert lineage["experiment"]["fit_weights_sha256"] == digest_file(fits["long"] / "weights.safetensors")
    assert lineage["model"]["bundle_sha256"] == folder_sha256(tmp_path / "discs")
    card = (tmp_path / "discs/docs/README.md").read_text()
    assert "Licence of the data: CC0" in card
    assert "not compared with another model" in card
    entry = read_ledger(tmp_path / "ledger.jsonl")[-1]
    assert (entry["kind"], entry["subject"], entry["status"]) == ("promote", "discs 1.0.0", "ok")
    assert entry["outputs"]["docs/lineage.json"] == digest_file(tmp_path / "discs/docs/lineage.json")
    assert entry["facts"]["by"] == "A. Reader"


def test_its_figures_are_those_of_the_bundle_on_the_cases_held_out(tmp_path, discs, fits):
    promote(request(fits["long"], tmp_path / "discs"), discs)
    rows = pd.read_csv(tmp_path / "discs/docs/comparison/cases.csv", float_precision="round_trip")
    assert sorted(rows["case_id"]) == sorted(f"c{number}" for number in range(8, 16))
    segmenter = load_bundle(tmp_path / "discs", "cpu")
    for row in rows.itertuples():
        image = read_volume(discs.root / f"image{row.case_id[1:]}.png", Units.INTENSITY)
        truth = read_mask(discs.root / f"mask{row.case_id[1:]}.png")
        assert compare_masks(segmenter(image).labels, replace(truth, affine=image.affine))["dice"] == row.dice
    assert rows["dice"].mean() > 0.8


def test_one_that_is_better_replaces_the_model_in_use(tmp_path, discs, fits):
    promote(request(fits["short"], tmp_path / "old"), discs)
    made = promote(request(fits["long"], tmp_path / "new", against=tmp_path / "old"), discs)
    assert made.better is True
    pairs = pd.read_csv(tmp_path / "new/docs/comparison/pairs.csv")
    assert pairs["contestant"].item() == "candidate"
    assert pairs["lower"].item() > 0
    assert read_ledger(tmp_path / "ledger.jsonl")[-1]["inputs"]["model in use"] == folder_sha256(tmp_path / "old")


def test_one_that_is_not_is_refused_and_leaves_nothing(tmp_path, discs, fits):
    promote(request(fits["long"], tmp_path / "old"), discs)
    before = sorted(tmp_path.rglob("*"))
    for name in ("short", "long"):
        with pytest.raises(PromotionError, match="not better than the model in use: disc:"):
            promote(request(fits[name], tmp_path / "new", against=tmp_path / "old"), discs)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(read_ledger(tmp_path / "ledger.jsonl")) == 1


def test_a_reason_forces_it_and_stays_with_it(tmp_path, discs, fits):
    promote(request(fits["long"], tmp_path / "old"), discs)
    made = promote(request(fits["short"], tmp_path / "new", against=tmp_path / "old", reason="smaller"), discs)
    assert made.better is False
    assert "not shown to be better" in (tmp_path / "new/docs/README.md").read_text()
    entry = read_ledger(tmp_path / "ledger.jsonl")[-1]
    assert (entry["status"], entry["facts"]["reason"]) == ("forced", "smaller")


def test_without_cases_held_out_those_of_its_own_fold_are_taken(tmp_path, discs, fits):
    root = discs.root
    store = FolderStore(root, replace(discs.snapshot, held_out=()))
    config = configuration(tmp_path, PLANAR)
    train_experiment(TrainRequest(config, tmp_path / "run", "cpu"), store, Told(), unrehearsed)
    made = promote(request(tmp_path / "run/base/seed-0/fold-1", tmp_path / "discs"), store)
    assert made.evidence == "not learnt by this fold"
    folds = pd.read_csv(tmp_path / "run/folds.csv").set_index("case_id")["fold"]
    rows = pd.read_csv(tmp_path / "discs/docs/comparison/cases.csv")
    assert set(rows["case_id"]) == set(folds.index[folds == 1])


def test_weights_changed_after_the_experiment_are_refused(tmp_path, discs):
    config = configuration(tmp_path, PLANAR)
    train_experiment(TrainRequest(config, tmp_path / "run", "cpu"), discs, Told(), unrehearsed)
    weights = tmp_path / "run/base/seed-0/fold-0/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.safetensors: is not the file that the experiment's ledger names"):
        promote(request(weights.parent, tmp_path / "discs"), discs)


def test_words_that_do_not_fit(tmp_path, discs, fits):
    with pytest.raises(InputError, match="expected a finished fit"):
        promote(request(tmp_path, tmp_path / "out"), discs)
    with pytest.raises(UsageError, match="expected one of disc"):
        promote(request(fits["long"], tmp_path / "out", judged_by="lung"), discs)
    with pytest.raises(UsageError, match="nobody"):
        promote(replace(request(fits["long"], tmp_path / "out"), by=" "), discs)
    promote(request(fits["long"], tmp_path / "out"), discs)
    with pytest.raises(UsageError, match="never written over"):
        promote(request(fits["long"], tmp_path / "out"), discs)
    names = {"disc": ("lung",)}
    with pytest.raises(UsageError, match="no label lung"):
        promote(request(fits["long"], tmp_path / "b", against=tmp_path / "out", incumbent_labels=names), discs)
    renamed = {"disc": ("disc",)}
    with pytest.raises(PromotionError):
        promote(request(fits["long"], tmp_path / "b", against=tmp_path / "out", incumbent_labels=renamed), discs)
    assert np.array_equal(sorted(p.name for p in tmp_path.iterdir()), ["ledger.jsonl", "out"])


def test_the_network_that_learnt_from_all_is_judged_on_what_is_held_out_and_else_only_by_force(tmp_path, discs):
    text = PLANAR.replace("folds: {count: 2}", "folds: {count: 2, final: true}")
    train_experiment(TrainRequest(configuration(tmp_path, text), tmp_path / "run", "cpu"), discs, Told(), unrehearsed)
    fit = tmp_path / "run/base/seed-0/fold-final"
    result = json.loads((fit / "result.json").read_text())
    assert (result["learnt_from"], result["predicted"]) == (8, 0)
    cases = pd.read_csv(tmp_path / "run/cases.csv")
    assert sorted(cases["case_id"]) == [f"c{number}" for number in range(8)]
    assert promote(request(fit, tmp_path / "discs"), discs).evidence == "held out"

    whole = FolderStore(discs.root, replace(discs.snapshot, held_out=()))
    train_experiment(TrainRequest(configuration(tmp_path, text), tmp_path / "all", "cpu"), whole, Told(), unrehearsed)
    fit = tmp_path / "all/base/seed-0/fold-final"
    with pytest.raises(PromotionError, match="no case that it did not learn from"):
        promote(request(fit, tmp_path / "unjudged"), whole)
    made = promote(request(fit, tmp_path / "unjudged", reason="nothing else there"), whole)
    assert made.comparison is None
    assert "no case that it did not learn from" in (tmp_path / "unjudged/docs/README.md").read_text()
