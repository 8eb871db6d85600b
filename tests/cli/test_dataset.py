"""`trialscan dataset`: words in, a store out, one JSON object each."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from trialscan.cli.dataset import dataset
from trialscan.errors import InputError

YAML = """\
name: set
licence: CC0
source: made for a test
labels: {1: lesion}
sources:
  - pattern:
      images: ['images/{case}.png']
      masks:
        - {path: 'masks/{case}.png', values: {255: lesion}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for case in range(3):
            levels = np.full((6, 5), 255 if kind == "masks" else case, dtype=np.uint8)
            Image.fromarray(levels).save(root / kind / f"{case}.png")
    (root / "dataset.yaml").write_text(YAML)
    return root


@pytest.fixture
def command(tmp_path: Path):
    def call(*words: object) -> str:
        done = CliRunner().invoke(
            dataset, [str(word) for word in (*words, "--store", tmp_path / "store")], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    return call


def test_the_whole_loop_in_json(folder: Path, tmp_path: Path, command) -> None:
    taken = json.loads(command("snapshot", folder, "--json"))
    assert (taken["name"], taken["cases"], taken["files"], taken["unchanged"]) == ("set", 3, 6, False)
    cloned = json.loads(command("clone", "set", tmp_path / "clone", "--json"))
    assert cloned["digest"] == taken["digest"]
    Image.fromarray(np.zeros((6, 5), dtype=np.uint8)).save(tmp_path / "clone" / "masks" / "1.png")
    revised = json.loads(
        command("revise", "set", "--masks", tmp_path / "clone", "--reader", "R", "--reason", "wrong", "--json")
    )
    assert revised["changed"] == {"masks/1.png": 30}
    assert revised["unchanged_masks"] == ["masks/0.png", "masks/2.png"]
    assert revised["parent"] == taken["digest"]
    difference = json.loads(command("diff", taken["digest"][:10], "set", "--json"))
    assert difference["changed_files"] == ["masks/1.png"]
    first, second = json.loads(command("list", "--json"))["snapshots"]
    assert (first["digest"], first["latest"]) == (taken["digest"], False)
    assert (second["digest"], second["latest"], second["reader"]) == (revised["digest"], True, "R")
    assert json.loads(command("check", "set", "--json"))["digest"] == revised["digest"]


def test_the_words_of_each_command(folder: Path, tmp_path: Path, command) -> None:
    assert "3 cases of 3 patients, 6 files" in command("snapshot", folder)
    assert command("snapshot", folder).startswith("unchanged: set ")
    assert "every file may be edited; the store's bytes stay as they are" in command("clone", "set", tmp_path / "c")
    assert "every file is as recorded" in command("check", "set")
    Image.fromarray(np.zeros((6, 5), dtype=np.uint8)).save(folder / "masks" / "1.png")
    assert "changed: masks/1.png: 30 voxels" in command("revise", "set", "--masks", folder)
    assert "no mask differs: no new snapshot" in command("revise", "set", "--masks", folder)
    root, child = command("list").splitlines()
    assert root.startswith("set ")
    assert child.startswith("   set ")
    assert child.endswith("(latest)")
    parent = root.split()[1].rstrip(":")
    assert command("diff", parent, "set").splitlines() == ["case changed: 1", "file changed: masks/1.png"]
    assert command("diff", "set", "set") == "no difference\n"


def test_options_stand_above_the_description(folder: Path, command) -> None:
    taken = json.loads(command("snapshot", folder, "--name", "other", "--licence", "CC BY 4.0", "--json"))
    assert (taken["name"], taken["licence"], taken["source"]) == ("other", "CC BY 4.0", "made for a test")


def test_a_damaged_store_is_told(folder: Path, tmp_path: Path, command) -> None:
    command("snapshot", folder)
    held = next(file for file in (tmp_path / "store" / "objects").rglob("*") if file.is_file())
    content = bytearray(held.read_bytes())
    content[-1] ^= 1
    held.chmod(0o644)
    held.write_bytes(bytes(content))
    with pytest.raises(InputError, match="changed"):
        command("check", "set")
