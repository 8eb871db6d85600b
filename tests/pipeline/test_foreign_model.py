"""A whole run with a model that brings code: refused without leave, recorded by digest with it, timed by stage."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from monai.networks.nets import UNet

from trialscan.audit import verify_run
from trialscan.audit.timeline import read_timeline
from trialscan.cli.main import cli
from trialscan.errors import TrustError
from trialscan.lesions import Burden, Findings, VisitFindings
from trialscan.pipeline.jumps import jump_flags
from trialscan.pipeline.run import RunRequest, run_trial
from trialscan.segmentation import folder_sha256
from trialscan.study.sections import SegmentationLimits

NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
}


def write_model(folder: Path) -> None:
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    names = {"0": "background", "1": "lung", "2": "lesion"}
    form = {
        "inputs": {"image": {"num_channels": 1, "modality": "CT"}},
        "outputs": {"pred": {"num_channels": 3, "channel_def": names}},
    }
    (folder / "configs/metadata.json").write_text(
        json.dumps({"name": "foreign", "version": "1", "network_data_format": form})
    )
    steps = [{"_target_": "LoadImaged", "keys": "image"}, {"_target_": "EnsureChannelFirstd", "keys": "image"}]
    config = {
        "network_def": NETWORK,
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "AsDiscreted", "keys": "pred", "argmax": True}],
        },
    }
    (folder / "configs/inference.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    network = UNet(spatial_dims=3, in_channels=1, out_channels=3, channels=[4, 8], strides=[2])
    torch.save(network.state_dict(), folder / "models/model.pt")


@pytest.fixture
def study(new_trial: Callable[[int], Path]) -> Path:
    """One patient without masks, and a protocol that names and pins the foreign model."""
    manifest = new_trial(1)
    rows = pd.read_csv(manifest).drop(columns=["organ_mask", "lesion_mask"])
    rows.to_csv(manifest, index=False)
    model = manifest.parent / "models" / "foreign"
    write_model(model)
    (manifest.parent / "foreign.yaml").write_text(
        "study: {id: mini, title: A trial, modality: CT}\n"
        f"segmentation: {{model: foreign, bundle_sha256: {folder_sha256(model)},\n"
        "  lesion_labels: {2: lesion}, units: HU}\n"
        "registration: {method: none}\n"
        "endpoints: {primary: {measure: burden_ml}}\n"
    )
    return manifest


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
def test_the_record_names_the_model_that_ran_its_code(study: Path, tmp_path: Path):
    protocol, out = study.parent / "foreign.yaml", tmp_path / "out"
    digest = folder_sha256(study.parent / "models" / "foreign")
    with pytest.raises(TrustError, match="--trust-bundle"):
        run_trial(RunRequest(study, protocol, out, device="cpu", reports=False))
    assert not out.exists()
    summary = run_trial(RunRequest(study, protocol, out, device="cpu", reports=False, trust_bundle=True))
    assert summary.status == "complete", summary.failures
    model = json.loads((out / "run.json").read_text())["model"]
    assert model == {
        "bundle": "foreign",
        "kind": "monai",
        "bundle_sha256": digest,
        "weights_sha256": None,
        "code_trusted": True,
    }
    assert f"bundle_sha256: {digest}" in (out / "protocol.lock.yaml").read_text()
    entries = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    segments = [entry for entry in entries if entry["kind"] == "segment"]
    assert segments
    assert all(entry["inputs"]["model"] == digest for entry in segments)
    assert set(pd.read_csv(out / "tables/scans.csv")["model_sha256"]) == {digest}
    assert not verify_run(out)
    timed = [entry.stages for entry in read_timeline(out / "timeline.jsonl") if entry.stages]
    assert len(timed) == len(segments)
    assert {"read", "load_model", "prepare", "network", "to_native_grid", "write"} <= set(timed[0])
    assert {entry.device for entry in read_timeline(out / "timeline.jsonl")} == {"cpu"}


def test_the_command_refuses_with_exit_code_3(study: Path, tmp_path: Path, monkeypatch, capsys):
    from trialscan.cli.main import main  # noqa: PLC0415 - beside `cli`

    arguments = ["run", str(study), "--protocol", str(study.parent / "foreign.yaml"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["trialscan", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "--trust-bundle" in capsys.readouterr().err
    assert "--trust-bundle" in cli.get_command(None, "track").get_help(cli.make_context("trialscan", ["track"]))


def visit(name: str, organ_ml: float | None, percent: float | None) -> VisitFindings:
    burden = Burden(1.0, organ_ml, percent, {}, {}, 1, 0, 0, 0.0)
    findings = None if organ_ml is None else Findings(None, (), burden, 0)
    return VisitFindings(name, 0, findings, None)


def test_changes_beyond_the_limits_are_flagged_at_the_later_visit():
    limits = SegmentationLimits(max_organ_change_percent=30, max_burden_change_points=10)
    visits = [visit("A", 4000, 5), visit("B", 4100, 20), visit("C", None, None), visit("D", 2500, 21)]
    assert jump_flags(visits, limits) == {"B": ("burden_jump",), "D": ("organ_jump",)}
    assert jump_flags(visits, SegmentationLimits()) == {"B": (), "D": ()}
