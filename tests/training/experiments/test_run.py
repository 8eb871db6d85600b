"""The loop as a whole: repeatable, resumable, and refusing before it spends hours."""

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_experiments import PLANAR, VOLUME, FolderStore, Told, configuration, snapshot_of, unrehearsed

from trialscan.audit import read_ledger
from trialscan.errors import InputError, UsageError
from trialscan.imaging import read_mask
from trialscan.segmentation import compare_masks, load_bundle
from trialscan.training.experiments import TrainRequest, fit, train_experiment

SHIPPED = """\
name: tiny
snapshot: discs
start: {bundle: chest_xray}
preparation: {planar_size: 64}
batch: 2
epochs: 1
iterations: 1
folds: {count: 2}
freeze: [{parameters: 'model.1.*', epochs: 1}]
"""
FILES = ("weights.safetensors", "curves.csv", "curves.svg", "result.json")


def run(config: Path, out: Path, store, watch=None, **more):
    return train_experiment(TrainRequest(config, out, "cpu", **more), store, watch or Told(), unrehearsed)


def contents(out: Path) -> dict[str, bytes]:
    """Every file that must repeat: all but checkpoints and the timeline."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in {"checkpoint.pt", "timeline.jsonl"}
    }


def test_two_runs_give_the_same_bytes_and_every_case_is_predicted_once(tmp_path, discs):
    config = configuration(tmp_path, PLANAR)
    outcome = run(config, tmp_path / "a", discs, masks=True)
    run(config, tmp_path / "b", discs, masks=True)
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    assert {f"base/seed-0/fold-{fold}/{name}" for fold in (0, 1) for name in FILES} < set(first)
    cases = pd.read_csv(tmp_path / "a" / "cases.csv")
    assert sorted(cases["case_id"]) == [f"c{number}" for number in range(8)]
    folds = pd.read_csv(tmp_path / "a" / "folds.csv").set_index("case_id")["fold"]
    assert cases.set_index("case_id")["fold"].to_dict() == folds.to_dict()
    assert set(cases["attribute_sex"]) == {"F", "M"}
    assert set(cases["size_unit"]) == {"pixels"}
    assert outcome.summary["mean_dice"].item() == pytest.approx(cases["dice"].mean())
    # the Dice told is that of the masks kept
    row = cases.iloc[0]
    kept = read_mask(tmp_path / "a" / f"base/seed-0/fold-{row['fold']}/masks/{row['case_id']}.nii.gz")
    truth = read_mask(discs.root / f"mask{row['case_id'][1:]}.png")
    assert compare_masks(kept, kept.with_array(truth.array))["dice"] == pytest.approx(row["dice"])


def test_the_weights_are_those_whose_digest_the_ledger_holds_and_another_seed_gives_others(tmp_path, discs):
    config = configuration(tmp_path, PLANAR + "seeds: [0, 1]\n")
    run(config, tmp_path / "a", discs)
    entries = read_ledger(tmp_path / "a" / "ledger.jsonl")
    assert [entry["kind"] for entry in entries] == ["run", "fit", "fit", "fit", "fit", "tables"]
    assert entries[1]["inputs"]["snapshot"] == discs.snapshot.digest
    digests = {entry["outputs"][f"{entry['subject']}/weights.safetensors"] for entry in entries[1:5]}
    assert len(digests) == 4
    result = json.loads((tmp_path / "a/base/seed-0/fold-0/result.json").read_text(encoding="utf-8"))
    assert result["weights_sha256"] in digests
    assert result["model"]["weights_sha256"] == result["weights_sha256"]


def test_a_finished_experiment_is_not_run_again(tmp_path, discs):
    config = configuration(tmp_path, PLANAR)
    run(config, tmp_path / "a", discs)
    before, told = contents(tmp_path / "a"), Told()
    run(config, tmp_path / "a", discs, told)
    assert told.epochs == []
    assert contents(tmp_path / "a") == before


LASTING = PLANAR.replace("strides: [2]}", "strides: [2], dropout: 0.2}") + "validation: {share: 0.3}\nkeep: best\n"
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from tiny_experiments import FolderStore, Told, unrehearsed
from trialscan.training.datasets import Snapshot
from trialscan.training.experiments import TrainRequest, train_experiment

class Killer(Told):
    def epoch(self, fit, row):
        if fit.endswith("fold-1"):
            os.kill(os.getpid(), signal.SIGKILL)

root = Path({root!r})
snapshot = Snapshot.from_json((root / "snapshot.json").read_text(), "snapshot.json")
request = TrainRequest(Path({config!r}), Path({out!r}), "cpu")
train_experiment(request, FolderStore(root, snapshot), Killer(), unrehearsed)
"""


def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path, discs):
    config, out = configuration(tmp_path, LASTING), tmp_path / "killed"
    run(config, tmp_path / "whole", discs)
    (discs.root / "snapshot.json").write_text(discs.snapshot.to_json(), encoding="utf-8")
    script = KILLED.format(tests=str(Path(__file__).parent), root=str(discs.root), config=str(config), out=str(out))
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    told = Told()
    run(config, out, discs, told)
    assert told.epochs == [("base/seed-0/fold-1", 2)]
    assert contents(out) == contents(tmp_path / "whole")


class Interrupter(Told):
    """Interrupts after every epoch."""

    def epoch(self, fit, row):
        super().epoch(fit, row)
        raise KeyboardInterrupt


def test_interrupted_after_every_epoch_it_ends_with_the_same_weights(tmp_path, discs):
    config = configuration(tmp_path, LASTING)
    run(config, tmp_path / "whole", discs)
    for _ in range(2 * 2):
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "cut", discs, Interrupter())
    run(config, tmp_path / "cut", discs)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_interrupted_within_an_epoch_it_takes_the_epoch_up_from_its_beginning(tmp_path, discs, monkeypatch):
    config = configuration(tmp_path, PLANAR)
    run(config, tmp_path / "whole", discs)
    count, step = iter(range(100)), fit.take_step

    def interrupted(*shown: object, **options: object) -> float:
        if next(count) == 3:
            raise KeyboardInterrupt
        return step(*shown, **options)

    monkeypatch.setattr(fit, "take_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "cut", discs)
    run(config, tmp_path / "cut", discs)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_it_learns_discs(tmp_path, discs):
    text = PLANAR.replace("epochs: 2", "epochs: 20").replace("iterations: 2", "iterations: 5")
    text = text.replace("channels: [4, 8]", "channels: [8, 16]").replace(
        "strides: [2]", "strides: [2], num_res_units: 1"
    )
    outcome = run(configuration(tmp_path, text + "ema: 0.8\n"), tmp_path / "a", discs)
    assert outcome.summary["mean_dice"].item() > 0.85


def test_variants_share_folds_and_the_gain_over_the_last_is_told(tmp_path, discs):
    text = PLANAR + "variants:\n  - name: longer\n    epochs: 3\n  - name: short\n"
    outcome = run(configuration(tmp_path, text), tmp_path / "a", discs)
    cases = pd.read_csv(tmp_path / "a" / "cases.csv")
    parted = cases.groupby(["variant", "fold"])["case_id"].apply(sorted)
    assert parted["longer"].to_dict() == parted["short"].to_dict()
    mean = cases.groupby("variant")["dice"].mean()
    gain = outcome.summary.set_index("variant")["difference"]
    assert gain["longer"] == pytest.approx(mean["longer"] - mean["short"])
    assert np.isnan(gain["short"])


def test_volumes_are_measured_in_millilitres_on_their_own_grid(tmp_path, boxes):
    run(configuration(tmp_path, VOLUME), tmp_path / "a", boxes)
    cases = pd.read_csv(tmp_path / "a" / "cases.csv")
    assert set(cases["size_unit"]) == {"ml"}
    np.testing.assert_allclose(cases["reference_size"], 5**3 * 8 / 1000)
    assert cases["surface_dice_2mm"].notna().all()


def test_early_stopping_ends_before_the_last_epoch(tmp_path, discs):
    text = PLANAR.replace("epochs: 2", "epochs: 30").replace("learning_rate: 0.01", "learning_rate: 1e-9")
    text += "validation: {share: 0.3}\nearly_stopping: {patience: 2}\nkeep: best\n"
    run(configuration(tmp_path, text), tmp_path / "a", discs)
    with (tmp_path / "a/base/seed-0/fold-0/curves.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) < 10
    result = json.loads((tmp_path / "a/base/seed-0/fold-0/result.json").read_text(encoding="utf-8"))
    assert "no part in the choice" in result["kept"]
    assert result["learnt_from"] + result["watched"] + result["predicted"] == 8


def refused(config: Path, out: Path, store: FolderStore, *words: str) -> None:
    with pytest.raises(InputError) as found:
        run(config, out, store)
    text = str(found.value)
    assert all(word in text for word in words), text
    assert not out.exists()


def test_every_faulty_case_is_told_before_anything_is_trained(tmp_path, discs):
    Image.fromarray(np.zeros((20, 32), np.uint8)).save(discs.root / "mask0.png")
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(discs.root / "mask1.png")
    (discs.root / "image2.png").write_bytes(b"no picture")
    store = FolderStore(discs.root, snapshot_of(discs.root, "discs", list(discs.snapshot.cases), discs.snapshot.labels))
    refused(
        configuration(tmp_path, PLANAR),
        tmp_path / "a",
        store,
        "case c0: mask0.png: mask on another grid",
        "case c1: mask1.png: label outside the map: 7; expected 0, 1",
        "case c2: image2.png",
    )


def test_a_patch_that_is_larger_than_a_scan_is_refused_with_the_scan(tmp_path, boxes):
    text = VOLUME.replace("[8, 8, 8]", "[8, 8, 32]")
    refused(
        configuration(tmp_path, text), tmp_path / "a", boxes, "case c0: 16 × 16 × 16 voxels", "8 × 8 × 32 is larger"
    )
    text = VOLUME.replace("[8, 8, 8]", "[8, 8]")
    refused(configuration(tmp_path, text), tmp_path / "a", boxes, "yaml:7:8: patch: 2 lengths; expected 3")


def test_a_picture_among_volumes_is_refused(tmp_path, discs):
    refused(
        configuration(tmp_path, VOLUME.replace("boxes", "discs")), tmp_path / "a", discs, "case c0", "several slices"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("_target_: UNet", "_target_: Nothing"), ["yaml:3:21: network._target_", "'Nothing'", "UNet"]),
        (("strides: [2]", "strides: [2], out_channels: 5"), ["network.out_channels: found 5; expected 2"]),
        (
            ("epochs: 2", "epochs: 2\nfreeze: [{parameters: 'encoder.*'}]"),
            ["freeze.0.parameters: no parameter is like"],
        ),
        (("epochs: 2", "epochs: 2\nfreeze: [{parameters: '*'}]"), ["every parameter is frozen"]),
        (("epochs: 2", "epochs: 2\nstart: {checkpoint: none.pt}"), ["start.checkpoint: no such file"]),
        (("epochs: 2", "epochs: 2\nstart: {bundle: none}"), ["no bundle 'none'", "chest_xray"]),
        (
            ("epochs: 2", "epochs: 2\nclasses: [{name: spot, of: [spot]}]"),
            ["'spot' is no label", "no class takes disc"],
        ),
        (("epochs: 2", "epochs: 2\nkeep: best"), ["keep: needs an inner validation"]),
        (
            ("epochs: 2", "epochs: 2\nvalidation: {share: 0.3, every_epochs: 3}\nearly_stopping: {patience: 2}"),
            ["early_stopping.patience: shorter than validation.every_epochs"],
        ),
        (("count: 2", "count: 9"), ["empty split: 8 groups for 9 folds"]),
        (("count: 2", "count: 2, stratify: site"), ["no case has the attribute 'site'", "sex"]),
        (("epochs: 2", "epochs: 2\nloss: {class_weights: [1]}"), ["1 weights; expected 2"]),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_at_its_place(tmp_path, discs, change, words):
    refused(configuration(tmp_path, PLANAR.replace(*change)), tmp_path / "a", discs, *words)


def test_a_table_of_folds_is_taken_and_a_patient_in_two_refused(tmp_path, discs):
    table = tmp_path / "folds.csv"
    rows = [f"c{number},{number % 2}" for number in range(8)]
    table.write_text("case_id,fold\n" + "\n".join(rows) + "\n", encoding="utf-8")
    config = configuration(tmp_path, PLANAR.replace("count: 2", "table: folds.csv"))
    run(config, tmp_path / "a", discs)
    found = pd.read_csv(tmp_path / "a" / "folds.csv").set_index("case_id")["fold"]
    assert found.to_dict() == {f"c{number}": number % 2 for number in range(8)}
    same = [
        replace(case, patient_id="p", group="p") if case.case_id in {"c0", "c1"} else case
        for case in discs.snapshot.cases
    ]
    store = FolderStore(discs.root, replace(discs.snapshot, cases=tuple(same)))
    refused(config, tmp_path / "b", store, "patient p is in folds 0, 1; expected one")
    table.write_text("case_id,fold\n" + "\n".join([*rows[:-1], "c0,1", "c9,0"]) + "\n", encoding="utf-8")
    refused(
        config,
        tmp_path / "b",
        discs,
        "folds.csv:9: case_id: c0 is in two folds, 0 and 1",
        "c7 has no fold",
        "c9 is not",
    )


def test_one_fold_parts_off_a_share(tmp_path, discs):
    run(configuration(tmp_path, PLANAR.replace("count: 2", "count: 1, share: 0.25")), tmp_path / "a", discs)
    assert len(pd.read_csv(tmp_path / "a" / "cases.csv")) == 2
    assert [path.name for path in sorted((tmp_path / "a/base/seed-0").iterdir())] == ["fold-0"]


def test_held_out_cases_are_never_seen(tmp_path, discs):
    store = FolderStore(discs.root, replace(discs.snapshot, held_out=("p0", "p1")))
    run(configuration(tmp_path, PLANAR), tmp_path / "a", store)
    assert "c0" not in (tmp_path / "a" / "folds.csv").read_text(encoding="utf-8")


def test_a_folder_of_another_experiment_is_left_alone(tmp_path, discs):
    run(configuration(tmp_path, PLANAR), tmp_path / "a", discs)
    before = contents(tmp_path / "a")
    with pytest.raises(UsageError, match="another experiment"):
        run(configuration(tmp_path, PLANAR.replace("epochs: 2", "epochs: 3")), tmp_path / "a", discs)
    assert contents(tmp_path / "a") == before


def test_an_existing_checkpoint_is_a_start_with_its_own_head(tmp_path, discs):
    run(configuration(tmp_path, PLANAR), tmp_path / "a", discs)
    text = PLANAR + "start: {checkpoint: a/base/seed-0/fold-0/checkpoint.pt}\n"
    told = Told()
    text = text.replace("learning_rate: 0.01", "learning_rate: 1e-12, weight_decay: 0, schedule: constant, warm_up: 0")
    run(configuration(tmp_path, text, "b.yaml"), tmp_path / "b", discs, told)
    assert any("with its own head" in line for line in told.lines)
    first = load_file(tmp_path / "a/base/seed-0/fold-0/weights.safetensors")
    again = load_file(tmp_path / "b/base/seed-0/fold-0/weights.safetensors")
    for name, value in first.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=1e-6)


def test_the_head_of_a_shipped_bundle_is_replaced_and_said_so(tmp_path, discs):
    told, out = Told(), tmp_path / "a" / "base/seed-0/fold-0"
    run(configuration(tmp_path, SHIPPED), tmp_path / "a", discs, told)
    assert any("head replaced for background, disc; kept by name: background" in line for line in told.lines)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["head"].startswith("replaced")
    assert result["head_tensors"]
    bundle = Path(__file__).resolve().parents[3] / "protocols" / "models" / "chest_xray"
    start, end = load_bundle(bundle, "cpu").network.state_dict(), load_file(out / "weights.safetensors")
    frozen = [name for name in start if name.startswith("model.1.")]
    assert frozen
    assert all(torch.equal(start[name], end[name]) for name in frozen)
    free = [name for name in start if name.startswith("model.0.") and start[name].ndim == 4]
    assert not any(torch.equal(start[name], end[name]) for name in free)


def test_the_head_of_a_start_that_tells_more_than_the_masks_is_kept(tmp_path, discs):
    outputs = "outputs: {background: [background], disc: [lung, opacity]}\n"
    text = SHIPPED.replace("freeze: [{parameters: 'model.1.*', epochs: 1}]", "optimiser: {learning_rate: 1.0e-12}")
    told, out = Told(), tmp_path / "a" / "base/seed-0/fold-0"
    run(configuration(tmp_path, text + outputs), tmp_path / "a", discs, told)
    assert any("from chest_xray with its own head" in line for line in told.lines)
    bundle = Path(__file__).resolve().parents[3] / "protocols" / "models" / "chest_xray"
    start, end = load_bundle(bundle, "cpu").network.state_dict(), load_file(out / "weights.safetensors")
    assert all(torch.allclose(start[name], end[name], atol=1e-9) for name in start)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["outputs"] == {"background": "background", "lung": "disc", "opacity": "disc"}
    assert set(result["model"]["labels"].values()) == {"background", "lung", "opacity"}
    assert set(pd.read_csv(tmp_path / "a" / "cases.csv")["label"]) == {"disc"}


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ("{background: [background], disc: [lung]}", "each of the start's labels once: background, lung, opacity"),
        ("{background: [background], box: [lung, opacity]}", "expected one for each of background, disc"),
        ("{background: [lung, opacity], disc: [background]}", "background of the start must be background"),
    ],
)
def test_outputs_that_do_not_fit_the_start_are_refused(tmp_path, discs, outputs, words):
    refused(configuration(tmp_path, f"{SHIPPED}outputs: {outputs}\n"), tmp_path / "a", discs, "outputs: ", words)
    config = configuration(tmp_path, f"{PLANAR}outputs: {outputs}\n")
    refused(config, tmp_path / "a", discs, "outputs: there is no start bundle whose head could be kept")


def test_a_start_of_another_network_is_refused(tmp_path, discs):
    config = configuration(tmp_path, PLANAR + "start: {bundle: chest_xray}\n")
    refused(config, tmp_path / "a", discs, "start: model.0.conv.weight is absent")


def test_two_images_a_case_are_two_channels(tmp_path, boxes):
    cases = [replace(case, images=(case.images[0], case.images[0])) for case in boxes.snapshot.cases]
    store = FolderStore(boxes.root, replace(boxes.snapshot, cases=tuple(cases)))
    refused(configuration(tmp_path, VOLUME), tmp_path / "a", store, "case c0: 2 images; expected 1")
    text = VOLUME.replace("[0, 10]}]", "[0, 10]}, {units: intensity, intensity_range: [0, 5]}]")
    run(configuration(tmp_path, text), tmp_path / "a", store)
    result = json.loads((tmp_path / "a/base/seed-0/fold-0/result.json").read_text(encoding="utf-8"))
    assert result["network"]["in_channels"] == 2
