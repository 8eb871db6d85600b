"""The pipeline's alignment leaves the lesions of both visits out."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from trialscan.imaging import read_mask
from trialscan.pipeline.stages import align as stage
from trialscan.registration import Alignment, register
from trialscan.study import RegistrationSettings, Scan

from .conftest import write_trial

SETTINGS = RegistrationSettings(method="rigid", spacing_mm=8.0)


@pytest.fixture
def arguments(tmp_path: Path) -> stage.AlignArguments:
    """A run folder in which both visits are segmented."""
    scans = write_trial(tmp_path / "trial", patients=1).parent / "P01"
    for visit in ("BL", "W2"):
        folder = tmp_path / "run" / visit
        folder.mkdir(parents=True)
        for name in ("organ", "lesions"):
            shutil.copy(scans / f"{visit}_{name}.nii.gz", folder / f"{name}.nii.gz")
    fixed, moving = (Scan(scans / f"{visit}.nii.gz", None, None, "") for visit in ("BL", "W2"))
    return stage.AlignArguments(fixed, moving, "BL", "W2", "HU", SETTINGS, "cpu")


def test_organs_and_lesions_of_both_visits_reach_the_registration(arguments, tmp_path, monkeypatch):
    given = {}

    def spy(*scans: object, **options: object) -> Alignment:
        given.update(options)
        return register(*scans, **options)

    monkeypatch.setattr(stage, "register", spy)
    written = stage.align(tmp_path / "run", arguments, {})
    assert written == ["W2/to_baseline.affine.tfm", "W2/to_baseline.json"]
    for name, path in (
        ("fixed_mask", "BL/organ"),
        ("moving_mask", "W2/organ"),
        ("fixed_lesions", "BL/lesions"),
        ("moving_lesions", "W2/lesions"),
    ):
        assert np.array_equal(given[name].array, read_mask(tmp_path / "run" / f"{path}.nii.gz").array)
    assert given["device"] == "cpu"


def test_another_lesion_mask_gives_another_result(arguments, tmp_path):
    run = tmp_path / "run"
    stage.align(run, arguments, {})
    first = (run / "W2" / "to_baseline.json").read_text()
    (run / "BL" / "lesions.nii.gz").unlink()
    (run / "W2" / "lesions.nii.gz").unlink()
    stage.align(run, arguments, {})
    assert (run / "W2" / "to_baseline.json").read_text() != first
