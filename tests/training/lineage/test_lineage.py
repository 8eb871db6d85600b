"""One chain, walked from both ends: real snapshot, experiment, promotion and run, each a small one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.training.experiments.tiny_experiments import PLANAR, Told, configuration, disc, unrehearsed, write_disc
from trialscan.audit import digest_file
from trialscan.cli.lineage import lineage
from trialscan.errors import UsageError, VerificationError
from trialscan.pipeline.run import RunRequest, run_trial
from trialscan.training.datasets import Snapshot, SnapshotFile
from trialscan.training.datasets.store import DatasetStore
from trialscan.training.experiments import TrainRequest, train_experiment
from trialscan.training.lineage import Node, as_text, came_of, origin_of, read_archive, read_run
from trialscan.training.promotion import PromotionRequest, promote

PROTOCOL = """\
study: {id: discs, title: Discs, modality: XR}
visits: {baseline: first}
segmentation:
  model: discs
  weights_sha256: WEIGHTS
  organ_name: field
  organ_labels: []
  lesion_labels: {1: disc}
  reader_lesion_labels: {1: disc}
  units: intensity
registration: {method: none}
lesions: {minimum_pixels: 5}
endpoints: {primary: {measure: burden_percent}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """store ► experiment ► models/discs ► run, all in one folder."""
    root = tmp_path_factory.mktemp("chain")
    (root / "data").mkdir()
    cases = [write_disc(root / "data", number) for number in range(8)]
    paths = sorted({path for case in cases for path in (*case.images, *(mask.path for mask in case.masks))})
    files = tuple(
        SnapshotFile(path, digest_file(root / "data" / path), (root / "data" / path).stat().st_size) for path in paths
    )
    snapshot = Snapshot("discs", "CC0", "a test", {0: "background", 1: "disc"}, files, tuple(cases), ("p7",))
    store = DatasetStore(root / "store")
    store.add(snapshot, {path: root / "data" / path for path in paths})
    text = PLANAR.replace("epochs: 2", "epochs: 12").replace("iterations: 2", "iterations: 8") + "ema: 0.5\n"
    train_experiment(TrainRequest(configuration(root, text), root / "experiment", "cpu"), store, Told(), unrehearsed)
    fit = root / "experiment/base/seed-0/fold-0"
    model = promote(PromotionRequest(fit, root / "models/discs", "1.0.0", "A. Reader"), store)
    (root / "protocol.yaml").write_text(PROTOCOL.replace("WEIGHTS", model.weights_sha256))
    Image.fromarray(disc(50)[0]).save(root / "scan.png")
    Image.fromarray(np.ones((32, 32), np.uint8)).save(root / "field.png")
    (root / "manifest.csv").write_text("patient_id,visit,study_day,scan,organ_mask\np1,V0,0,scan.png,field.png\n")
    run_trial(RunRequest(root / "manifest.csv", root / "protocol.yaml", root / "run", device="cpu", reports=False))
    return root


def kinds(node: Node) -> list[str]:
    return [node.kind, *(kind for child in node.leads_to for kind in kinds(child))]


def find(node: Node, kind: str) -> Node:
    stack = [node]
    while stack:
        here = stack.pop(0)
        if here.kind == kind:
            return here
        stack += here.leads_to
    raise AssertionError(f"no {kind} in\n{as_text(node)}")


def test_a_row_leads_to_the_files_that_its_model_learnt_from(made):
    node = origin_of(read_run(made / "run"), "p1", "V0", read_archive([made], made / "store"))
    assert node.unbroken, as_text(node)
    mask = node.leads_to[1]
    assert mask.sha256 == digest_file(made / "run/patients/p1/V0/lesions.nii.gz")
    model = mask.leads_to[0]
    assert (model.kind, model.name) == ("model", "discs 1.0.0")
    assert "by A. Reader" in model.note
    experiment = model.leads_to[0]
    assert (experiment.kind, experiment.name) == ("experiment", "tiny/base/seed-0/fold-0")
    snapshot = experiment.leads_to[0]
    assert snapshot.sha256 == DatasetStore(made / "store").find("discs").digest
    assert {(file.name, file.sha256) for file in snapshot.leads_to} == {
        (path.name, digest_file(path)) for path in (made / "data").iterdir()
    }
    field = node.leads_to[2]
    assert (field.note, field.leads_to) == ("drawn by: reader", ())


def test_a_file_leads_to_every_row_that_it_touched(made):
    node = came_of(made / "data/mask3.png", read_archive([made], made / "store"))
    assert kinds(node) == ["file", "snapshot", "experiment", "model", "row"]
    assert find(node, "snapshot").note == "case c3"
    assert find(node, "row").name == "run/p1/V0"
    held_out = came_of(made / "data/image7.png", read_archive([made], made / "store"))
    assert find(held_out, "snapshot").note == "case c7 (held out)"


def test_a_scan_of_a_run_leads_to_its_row_and_a_stranger_nowhere(made, tmp_path):
    archive = read_archive([made], made / "store")
    assert find(came_of(made / "scan.png", archive), "row").note == "its scan"
    (tmp_path / "stranger.png").write_bytes(b"x")
    assert came_of(tmp_path / "stranger.png", archive).note == "touched nothing in the folders given"


def test_what_is_gone_or_changed_breaks_the_chain_by_name(made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made, copy, symlinks=True)
    shutil.rmtree(copy / "experiment")
    node = origin_of(read_run(copy / "run"), "p1", "V0", read_archive([copy], copy / "store"))
    assert "experiment tiny/base/seed-0/fold-0" in find(node, "missing").name
    assert find(node, "snapshot").leads_to
    shutil.rmtree(copy / "models")
    node = origin_of(read_run(copy / "run"), "p1", "V0", read_archive([copy], copy / "store"))
    assert find(node, "missing").name == "model discs"
    (copy / "run/patients/p1/V0/lesions.nii.gz").write_bytes(b"another")
    node = origin_of(read_run(copy / "run"), "p1", "V0", read_archive([copy], copy / "store"))
    assert "the mask in the run is another one" in find(node, "missing").note


def test_the_command_prints_the_chain_and_ends_with_5_where_it_is_broken(made, tmp_path):
    def call(*words: object) -> Result:
        return CliRunner().invoke(lineage, [str(word) for word in words], standalone_mode=False)

    row = (made / "run", "--patient", "p1", "--visit", "V0", "--store", made / "store")
    printed = call(*row, "--among", made)
    assert printed.exception is None, printed.output
    assert [line.split()[0] for line in printed.output.splitlines()][:6] == [
        *("row", "scan", "mask", "model", "experiment", "snapshot")
    ]
    assert json.loads(
        call("--file", made / "data/mask3.png", "--among", made, "--store", made / "store", "--json").output
    )
    broken = call(*row, "--among", tmp_path)
    assert "missing model discs" in broken.output
    assert isinstance(broken.exception, VerificationError)


def test_words_that_do_not_fit(made):
    archive = read_archive([made], made / "store")
    with pytest.raises(UsageError, match="no row p2/V0; expected one of p1/V0"):
        origin_of(read_run(made / "run"), "p2", "V0", archive)
    for words in ([], [str(made / "run")], [str(made / "run"), "--file", str(made / "scan.png")]):
        assert isinstance(CliRunner().invoke(lineage, words, standalone_mode=False).exception, UsageError)
