"""Exit codes and messages of the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trialscan import __version__
from trialscan.cli.main import COMMANDS


def _call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trialscan", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_help_lists_every_command_without_loading_torch():
    code = (
        "import sys; from trialscan.cli.main import cli; "
        "cli.main(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)
    assert done.stdout.strip().endswith("False")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str):
    done = _call(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_the_version_comes_from_one_place():
    assert __version__ in _call("--version").stdout


def test_an_unknown_command_is_a_usage_error():
    assert _call("frobnicate").returncode == 2


def test_an_invalid_protocol_exits_with_3_and_every_fault(tmp_path: Path):
    (tmp_path / "manifest.csv").write_text("patient_id,visit,study_day,scan\n")
    (tmp_path / "protocol.yaml").write_text(
        "study: {id: a, title: t, modality: CT}\nsegmentatoin: {}\nlesions: {minimum_ml: -1}\n"
    )
    done = _call("run", tmp_path / "manifest.csv", "--protocol", tmp_path / "protocol.yaml", "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "protocol.yaml:2:1" in done.stderr
    assert "protocol.yaml:3:" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_empty_manifest_exits_with_3(tmp_path: Path):
    (tmp_path / "manifest.csv").write_text("")
    done = _call("validate", tmp_path / "manifest.csv", "--protocol", "covid_lung_ct")
    assert done.returncode == 3
    assert "manifest.csv" in done.stderr


def test_a_path_out_of_the_manifests_folder_exits_with_3(tmp_path: Path):
    (tmp_path / "secret.nii.gz").write_bytes(b"")
    (tmp_path / "trial").mkdir()
    manifest = tmp_path / "trial" / "manifest.csv"
    manifest.write_text("patient_id,visit,study_day,scan\np1,BL,0,../secret.nii.gz\n")
    done = _call("validate", manifest, "--protocol", "ct_tumour", "--json")
    assert done.returncode == 3
    assert "manifest.csv:2: scan" in done.stderr


def test_validate_names_scans_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "a.nii.gz").write_bytes(b"not an image")
    (tmp_path / "manifest.csv").write_text("patient_id,visit,study_day,scan\np1,BL,0,a.nii.gz\n")
    done = _call("validate", tmp_path / "manifest.csv", "--protocol", "ct_tumour", "--json")
    assert done.returncode == 4
    (fault,) = json.loads(done.stdout)["faults"]
    assert fault.startswith("manifest.csv:2")


def test_an_unfinished_run_does_not_verify(tmp_path: Path):
    assert _call("verify", tmp_path).returncode == 5


def test_a_missing_file_is_a_usage_error(tmp_path: Path):
    assert _call("run", tmp_path / "none.csv", "--protocol", "covid_lung_ct", "--out", tmp_path).returncode == 2
