"""Small protocols and manifests to break one thing at a time in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trialscan.errors import InputError
from trialscan.study import Protocol, load_protocol, load_study

MINIMAL = """\
study:
  id: trial
  title: A trial
  modality: CT
segmentation:
  reader_lesion_labels: {1: lesion}
endpoints:
  primary: {measure: burden_ml}
"""

Faults = list[str]


@pytest.fixture
def minimal() -> str:
    return MINIMAL


@pytest.fixture
def protocol_faults(tmp_path: Path) -> Callable[[str | bytes], Faults]:
    """The faults of a protocol with the given text, line by line; empty for a valid one."""

    def faults(text: str | bytes) -> Faults:
        path = tmp_path / "protocol.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return _faults(lambda: load_protocol(path))

    return faults


@pytest.fixture
def make_protocol(tmp_path: Path) -> Callable[[str], Protocol]:
    def make(extra: str = "") -> Protocol:
        path = tmp_path / "made.yaml"
        path.write_text(MINIMAL + extra, encoding="utf-8")
        return load_protocol(path)

    return make


@pytest.fixture
def trial_folder(tmp_path: Path) -> Path:
    """A folder with six empty scans a.nii … f.nii, a mask m.nii, and a secret outside it."""
    folder = tmp_path / "trial"
    folder.mkdir()
    for name in "abcdefm":
        (folder / f"{name}.nii").touch()
    (tmp_path / "outside.nii").touch()
    return folder


@pytest.fixture
def manifest_faults(
    trial_folder: Path, make_protocol: Callable[[str], Protocol]
) -> Callable[[str | bytes, str | None, str], Faults]:
    """The faults of a manifest, and of arms.csv where its text is given, under the minimal protocol and `extra`."""

    def faults(text: str | bytes, arms: str | None = None, extra: str = "") -> Faults:
        manifest = trial_folder / "manifest.csv"
        manifest.write_bytes(text if isinstance(text, bytes) else text.encode())
        arms_path = None
        if arms is not None:
            arms_path = trial_folder / "arms.csv"
            arms_path.write_text(arms, encoding="utf-8")
        protocol = make_protocol(extra)
        return _faults(lambda: load_study(manifest, protocol, arms_path))

    return faults


def _faults(load: Callable[[], object]) -> Faults:
    try:
        load()
    except InputError as error:
        return [str(fault) for fault in error.faults]
    return []
