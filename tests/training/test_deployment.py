"""Exported models answer as the model does, say what they are, and are refused where they would not."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from monai.bundle import ConfigWorkflow

from trialscan.errors import SegmentationError, UsageError
from trialscan.imaging import Units, Volume, affine_from, read_mask, write_volume
from trialscan.segmentation import load_bundle
from trialscan.segmentation.network import build_network
from trialscan.training import deployment
from trialscan.training.config import TrainingConfig
from trialscan.training.deployment import export_model, facts_path
from trialscan.training.export import write_bundle

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
NETWORK = {
    "_target_": "UNet",
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8, 8],
    "strides": [2, 2],
    "num_res_units": 1,
    "norm": "batch",
}
LIBRARIES = str(Path(torch.__file__).parents[1]).encode()
LABELS = {0: "background", 1: "lung", 2: "lesion"}


def bundle(folder: Path, kind: str = "volume", **changes: object) -> Path:
    """A network of random weights, its batch normalisation not at rest, as a bundle."""
    planar = kind == "planar"
    network = NETWORK | {"spatial_dims": 2 if planar else 3} | changes
    form = {"planar_size": 64} if planar else {"spacing_mm": (2.0, 2.0, 2.0), "intensity_range": (-1000.0, 400.0)}
    config = TrainingConfig.model_validate(
        {
            "name": f"toy_{kind}",
            "kind": kind,
            "labels": LABELS,
            "network": network,
            "patch": (64, 64, 1) if planar else (32, 32, 32),
            "steps": 1,
            "data": {"cases": 1, "first_seed": 0},
        }
        | form
    )
    torch.manual_seed(1)
    made = build_network(network, "toy").train()
    for _ in range(3):
        made(torch.randn((2, 1, *([64] * 2 if planar else [32] * 3))))
    write_bundle(config, made.state_dict(), folder, "0.1.0")
    return folder


@pytest.mark.parametrize("kind", ["volume", "planar"])
def test_torchscript_gives_the_networks_logits_at_any_shape(tmp_path: Path, kind: str) -> None:
    source = bundle(tmp_path / "toy", kind)
    made = export_model(source, tmp_path / "toy.ts", "torchscript")
    network = load_bundle(source, "cpu").network
    image = torch.randn((2, 1, *([48, 80] if kind == "planar" else [16, 32, 48])))
    with torch.inference_mode():
        assert torch.equal(torch.jit.load(made.path)(image), network(image))
    assert made.largest_difference == 0


@pytest.mark.parametrize("kind", ["volume", "planar"])
def test_onnx_gives_the_networks_logits_at_any_shape(tmp_path: Path, kind: str) -> None:
    source = bundle(tmp_path / "toy", kind)
    made = export_model(source, tmp_path / "toy.onnx", "onnx")
    onnx.checker.check_model(onnx.load(made.path))
    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    image = torch.randn((3, 1, *([48, 80] if kind == "planar" else [16, 32, 48])))
    with torch.inference_mode():
        expected = load_bundle(source, "cpu").network(image).numpy()
    np.testing.assert_allclose(session.run(None, {"image": image.numpy()})[0], expected, atol=1e-4)
    assert made.largest_difference < 1e-5
    assert LIBRARIES not in made.path.read_bytes()


def test_a_deeper_network_is_tried_on_images_that_it_takes(tmp_path: Path) -> None:
    source = bundle(tmp_path / "toy", "planar", channels=[4] * 6, strides=[2] * 5)
    made = export_model(source, tmp_path / "toy.ts", "torchscript")
    assert json.loads(facts_path(made).read_text())["edges_divisible_by"] == 32


def test_torchscript_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    source = bundle(tmp_path / "toy")
    with zipfile.ZipFile(
        io.BytesIO(export_model(source, tmp_path / "toy.ts", "torchscript").path.read_bytes())
    ) as whole:
        assert not [name for name in whole.namelist() if LIBRARIES in whole.read(name)]


def test_the_facts_beside_say_what_goes_in_and_where_it_came_from(tmp_path: Path) -> None:
    source = bundle(tmp_path / "toy")
    made = export_model(source, tmp_path / "toy.ts", "torchscript")
    facts = json.loads(facts_path(made).read_text())
    pinned = json.loads((source / "configs/metadata.json").read_text())["trialscan"]["weights_sha256"]
    assert facts["weights_sha256"] == made.weights_sha256 == pinned
    assert facts["preparation"]["spacing_mm"] == [2.0, 2.0, 2.0]
    assert facts["labels"] == {"0": "background", "1": "lung", "2": "lesion"}
    assert str(tmp_path) not in facts_path(made).read_text()


def test_monais_own_runner_runs_the_exported_bundle(tmp_path: Path) -> None:
    made = export_model(bundle(tmp_path / "toy"), tmp_path / "monai", "monai")
    scans = tmp_path / "scans"
    scans.mkdir()
    grid = affine_from((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    image = np.random.default_rng(0).normal(-600, 300, (32, 32, 32)).astype(np.float32)
    write_volume(scans / "scan.nii.gz", Volume(image, grid, Units.HU))
    workflow = ConfigWorkflow(
        workflow_type="inference",
        config_file=str(made.path / "configs/inference.json"),
        meta_file=str(made.path / "configs/metadata.json"),
        logging_file=False,
        bundle_root=str(made.path),
        dataset_dir=str(scans),
        device=torch.device("cpu"),
    )
    workflow.initialize()
    workflow.run()
    answer = read_mask(next((made.path / "eval").rglob("*.nii.gz")))
    assert answer.shape == (32, 32, 32)
    assert set(np.unique(answer.array)) <= set(LABELS)
    assert torch.jit.load(made.path / "models/model.ts")(torch.zeros((1, 1, 32, 32, 32))).shape[1] == len(LABELS)


def test_an_export_that_answers_otherwise_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "_without_source_places", _of_another_network)
    with pytest.raises(SegmentationError, match="a class probability differs by"):
        export_model(bundle(tmp_path / "toy"), tmp_path / "out" / "toy.ts", "torchscript")
    assert not list((tmp_path / "out").iterdir())


def _of_another_network(traced: torch.jit.ScriptModule) -> bytes:
    content, changed = io.BytesIO(), io.BytesIO()
    torch.jit.save(traced, content)
    content.seek(0)
    other = torch.jit.load(content)
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    torch.jit.save(other, changed)
    return changed.getvalue()


def test_nothing_is_written_over_and_suffixes_are_minded(tmp_path: Path) -> None:
    source = bundle(tmp_path / "toy")
    (tmp_path / "there.ts").touch()
    with pytest.raises(UsageError, match="it exists"):
        export_model(source, tmp_path / "there.ts", "torchscript")
    with pytest.raises(UsageError, match=r"expected \.onnx for onnx"):
        export_model(source, tmp_path / "toy.ts", "onnx")
