"""Protocols by name, and the model bundles they name."""

from pathlib import Path

import pytest

from trialscan.errors import ProtocolError
from trialscan.study import find_protocol, load_protocol, resolve_model, shipped

NAMES = ["chest_xray", "covid_ct_slice", "covid_lung_ct", "ct_tumour", "ms_flair_mri", "ultrasound_2d"]


def test_the_shipped_protocols_are_these_and_named_after_their_files():
    assert sorted(file.stem for file in shipped.shipped_folder().glob("*.yaml")) == NAMES
    assert [load_protocol(name).study.id for name in NAMES] == NAMES


def test_a_path_comes_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimal: str):
    monkeypatch.chdir(tmp_path)
    assert find_protocol("chest_xray").name == "chest_xray.yaml"
    Path("chest_xray").mkdir()
    assert find_protocol("chest_xray").name == "chest_xray.yaml", "a folder is no protocol"
    Path("chest_xray").rmdir()
    Path("chest_xray").write_text(minimal, encoding="utf-8")
    assert find_protocol("chest_xray") == Path("chest_xray")


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ProtocolError) as caught:
        find_protocol("covid_lung")
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "covid_lung: is neither a file nor a shipped protocol; did you mean 'covid_lung_ct'? "
        "Shipped: chest_xray, covid_ct_slice, covid_lung_ct, ct_tumour, ms_flair_mri, ultrasound_2d"
    )


def test_the_installed_folder_comes_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "trialscan"
    monkeypatch.setattr(shipped, "__file__", str(package / "study" / "shipped.py"))
    assert shipped.shipped_folder() == tmp_path / "protocols"
    (package / "_protocols").mkdir(parents=True)
    assert shipped.shipped_folder() == package / "_protocols"


@pytest.fixture
def with_model(tmp_path: Path, minimal: str) -> Path:
    path = tmp_path / "protocol.yaml"
    path.write_text(minimal.replace("{1: lesion}\n", "{1: lesion}\n  model: my_net\n"), encoding="utf-8")
    return path


def test_a_bundle_beside_the_protocol_comes_before_a_shipped_one(
    with_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setattr(shipped, "shipped_folder", lambda: elsewhere)
    protocol = load_protocol(with_model)
    (elsewhere / "models" / "my_net").mkdir(parents=True)
    assert resolve_model(protocol, with_model) == elsewhere / "models" / "my_net"
    (tmp_path / "models" / "my_net").mkdir(parents=True)
    assert resolve_model(protocol, with_model) == tmp_path / "models" / "my_net"


def test_a_missing_bundle_is_told_at_the_line_that_names_it(with_model: Path):
    with pytest.raises(ProtocolError) as caught:
        resolve_model(load_protocol(with_model), with_model)
    assert str(caught.value) == (
        "protocol.yaml:7:10: segmentation.model: no model bundle 'my_net', neither in 'models' beside the protocol "
        "nor among the shipped ones"
    )


def test_a_protocol_without_a_model_resolves_to_none(tmp_path: Path, minimal: str):
    path = tmp_path / "protocol.yaml"
    path.write_text(minimal, encoding="utf-8")
    assert resolve_model(load_protocol(path), path) is None
