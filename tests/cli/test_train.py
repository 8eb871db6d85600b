"""`trialscan train` from a store of snapshots to a printed summary."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from trialscan.audit import digest_file
from trialscan.cli.train import train
from trialscan.errors import InputError
from trialscan.training.datasets import AnnotatedCase, CaseMask, Snapshot, SnapshotFile
from trialscan.training.datasets.store import DatasetStore
from trialscan.training.experiments import train_experiment
from trialscan.training.experiments.rehearsal import Rehearsed

CONFIG = """\
name: tiny
snapshot: squares
network: {_target_: UNet, spatial_dims: 2, channels: [4, 8], strides: [2]}
preparation: {planar_size: 16, grey_levels: stretch}
epochs: 1
iterations: 1
folds: {count: 2}
"""


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    cases = []
    for number in range(4):
        labels = np.zeros((16, 16), np.uint8)
        labels[4:10, number + 2 : number + 9] = 1
        Image.fromarray(labels * 150 + 40).save(source / f"i{number}.png")
        Image.fromarray(labels).save(source / f"m{number}.png")
        mask = CaseMask(f"m{number}.png", {1: 1})
        cases.append(AnnotatedCase(f"c{number}", f"p{number}", f"p{number}", (f"i{number}.png",), (mask,)))
    places = {path.name: path for path in sorted(source.iterdir())}
    files = tuple(SnapshotFile(name, digest_file(path), path.stat().st_size) for name, path in places.items())
    labels = {0: "background", 1: "square"}
    DatasetStore(tmp_path / "store").add(Snapshot("squares", "CC0", "test", labels, files, tuple(cases)), places)
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def call(folder: Path, *options: str) -> Result:
    arguments = [str(folder / "config.yaml"), "--out", str(folder / "out"), "--store", str(folder / "store")]
    return CliRunner().invoke(
        train, [*arguments, "--device", "cpu", "--threads", "1", *options], catch_exceptions=False
    )


def test_a_dry_run_checks_and_trains_nothing(folder, monkeypatch):
    unrehearsed = partial(train_experiment, rehearsal=lambda *_: Rehearsed(2**30, 6.0))
    monkeypatch.setattr("trialscan.cli.train.train_experiment", unrehearsed)
    found = call(folder, "--dry-run")
    assert found.exit_code == 0
    assert "2 fits to run; nothing was trained" in found.output
    assert "base: a step takes 6.00 s and 1.0 GiB; 2 steps, about 0 min" in " ".join(found.stderr.split())
    assert not (folder / "out").exists()


def test_the_summary_is_printed_as_json(folder):
    found = call(folder, "--json")
    facts = json.loads(found.stdout.splitlines()[-1])
    assert facts["fits"] == 2
    assert [row["label"] for row in facts["summary"]] == ["square"]
    assert facts["summary"][0]["cases"] == 4


def test_a_changed_file_is_found_before_training(folder):
    stored = next((folder / "store" / "objects").rglob(digest_file(folder / "source" / "m0.png")))
    content = bytearray(stored.read_bytes())
    content[-20] ^= 1
    stored.chmod(0o644)
    stored.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"m0\.png"):
        call(folder)
    assert not (folder / "out").exists()
