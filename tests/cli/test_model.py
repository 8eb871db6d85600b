"""`trialscan model list`, `trialscan model show` and `trialscan model export`."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import trialscan
from trialscan.cli.model import model
from trialscan.errors import SegmentationError


def call(*arguments: str | Path):
    return CliRunner().invoke(model, [str(argument) for argument in arguments], standalone_mode=False)


def foreign(folder: Path) -> Path:
    (folder / "configs").mkdir(parents=True)
    channels = {"0": "background", "1": "spleen"}
    form = {
        "inputs": {"image": {"num_channels": 1, "modality": "CT", "spatial_shape": [96, 96, 96]}},
        "outputs": {"pred": {"num_channels": 2, "channel_def": channels}},
    }
    metadata = {"name": "Spleen", "version": "0.5.9", "task": "spleen", "network_data_format": form}
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    (folder / "configs/inference.json").write_text('{"imports": ["$import os"], "run": "$os.abort()"}')
    (folder / "README.md").write_text("# Spleen\n\nFrom portal venous CT.\n")
    return folder


def test_the_shipped_models_are_listed_with_what_they_give():
    lines = call("list").output.splitlines()
    assert [line.split()[0] for line in lines] == ["chest_xray", "ct_slice", "thorax_ct"]
    assert "ground_glass" in lines[1]
    assert "ground_glass" in lines[2]
    listed = json.loads(call("list", "--json").output)["models"]
    assert [entry["dimensions"] for entry in listed] == [2, 2, 3]


def test_a_shipped_model_is_shown_with_its_digests_and_card():
    shown = json.loads(call("show", "thorax_ct", "--json").output)
    metadata = json.loads(
        (Path(trialscan.__file__).parents[1] / "protocols/models/thorax_ct/configs/metadata.json").read_text()
    )
    assert shown["weights_sha256"] == metadata["trialscan"]["weights_sha256"]
    assert shown["labels"]["2"] == "ground_glass"
    assert shown["spacing_mm"] == metadata["trialscan"]["spacing_mm"]
    assert not shown["needs_trust"]
    text = call("show", "thorax_ct").output
    assert f"weights_sha256: {shown['weights_sha256']}" in text
    assert f"bundle_sha256: {shown['bundle_sha256']}" in text
    assert f"| {shown['card'][0]}" in text


def test_a_foreign_bundle_is_shown_without_running_its_code(tmp_path):
    text = call("show", foreign(tmp_path / "spleen")).output
    assert "model: Spleen 0.5.9 (monai)" in text
    assert "gives: 0 background, 1 spleen" in text
    assert "takes: CT, 3-D, 1 channel" in text
    assert "--trust-bundle" in text
    assert "| # Spleen" in text
    (tmp_path / "no_model").mkdir()
    assert call("list", tmp_path).output.startswith("Spleen 0.5.9 (monai): CT; spleen; runs code of its own")


def test_what_is_no_model_is_an_error(tmp_path):
    with pytest.raises(SegmentationError, match=r"no configs/metadata\.json"):
        trialscan.describe_model(tmp_path)
    with pytest.raises(SegmentationError, match="unknown"):
        trialscan.describe_model("unknown")


def test_a_model_is_exported_and_its_agreement_told(tmp_path):
    out = tmp_path / "xray.ts"
    shown = json.loads(call("export", "chest_xray", "--out", out, "--json").output)
    assert shown["path"] == str(out)
    assert shown["weights_sha256"] == json.loads(call("show", "chest_xray", "--json").output)["weights_sha256"]
    assert shown["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert shown["largest_difference"] == 0


def test_what_is_no_model_is_not_exported(tmp_path):
    assert isinstance(call("export", tmp_path, "--out", tmp_path / "model.ts").exception, SegmentationError)
    assert not (tmp_path / "model.ts").exists()
