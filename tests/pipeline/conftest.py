"""A trial small enough to run many times: spheres in an ellipsoid, with a reader's masks."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trialscan.imaging import Units, Volume, affine_from, write_volume

SHAPE, SPACING = (36, 32, 28), (4.0, 4.0, 4.0)
DAYS = {"BL": 0, "W2": 14, "W4": 28}
SHRINK = {"control": 0.999, "treated": 0.985}

PROTOCOL = """\
study: {id: mini, title: A miniature trial, modality: CT, data_cutoff: 2026-01-31}
visits:
  baseline: BL
  schedule:
    - {visit: BL, day: 0}
    - {visit: W2, day: 14, window_days: [-3, 3]}
    - {visit: W4, day: 28, window_days: [-3, 3]}
segmentation:
  organ_name: lungs
  reader_lesion_labels: {1: ground_glass, 2: consolidation}
  units: HU
registration: {method: rigid, engine: simpleitk, spacing_mm: 8}
endpoints:
  primary: {measure: burden_ml}
  secondary: [{measure: burden_percent}]
report: {window: [-600, 1500]}
"""


def _ball(center: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij"), -1)
    return np.linalg.norm(grid - np.asarray(center), axis=-1) <= radius


def _write_scan(folder: Path, visit: str, radius: float, rng: np.random.Generator) -> None:
    affine = affine_from(SPACING)
    organ = _ball((70, 62, 54), 50)
    lesion = _ball((60, 62, 54), radius) | _ball((96, 70, 50), radius * 0.6)
    image = np.where(organ, -850, 40) + rng.normal(0, 15, SHAPE)
    image[lesion] = -300
    classes = np.where(_ball((60, 62, 54), radius), 1, 0) + np.where(_ball((96, 70, 50), radius * 0.6), 2, 0)
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / f"{visit}.nii.gz", Volume(image.astype(np.int16), affine, Units.HU))
    write_volume(folder / f"{visit}_organ.nii.gz", Volume(organ.astype(np.uint8), affine, Units.LABEL))
    write_volume(folder / f"{visit}_lesions.nii.gz", Volume(classes.astype(np.uint8), affine, Units.LABEL))


def write_trial(root: Path, patients: int = 6) -> Path:
    """Scans, manifest, arms and protocol of a trial; returns the manifest."""
    rng = np.random.default_rng(7)
    rows, arms = [], []
    for number in range(patients):
        patient, arm = f"P{number + 1:02d}", sorted(SHRINK)[number % 2]
        arms.append({"patient_id": patient, "arm": arm})
        start = 17 + 4 * rng.random()
        for visit, day in DAYS.items():
            if (number, visit) == (patients - 1, "W4"):
                continue
            _write_scan(root / patient, visit, start * SHRINK[arm] ** day + rng.normal(0, 0.1), rng)
            stem = f"{patient}/{visit}"
            rows.append(
                {
                    "patient_id": patient,
                    "visit": visit,
                    "study_day": day,
                    "scan": f"{stem}.nii.gz",
                    "organ_mask": f"{stem}_organ.nii.gz",
                    "lesion_mask": f"{stem}_lesions.nii.gz",
                }
            )
    write_csv(root / "manifest.csv", rows)
    write_csv(root / "arms.csv", arms)
    (root / "protocol.yaml").write_text(PROTOCOL)
    return root / "manifest.csv"


def write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    """A CSV of the rows' keys."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def new_trial(tmp_path: Path) -> Callable[[int], Path]:
    """Make a trial that the test may damage."""

    def make(patients: int = 3) -> Path:
        root = tmp_path / "trial"
        root.mkdir()
        return write_trial(root, patients)

    return make


@pytest.fixture(scope="session")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a trial that no test changes."""
    return write_trial(tmp_path_factory.mktemp("mini"))


@pytest.fixture(scope="session")
def finished(trial: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That trial's run folder, made with one worker."""
    from trialscan.pipeline.run import RunRequest, run_trial  # noqa: PLC0415 - heavy; not every test needs it

    out = tmp_path_factory.mktemp("finished")
    summary = run_trial(RunRequest(trial, trial.parent / "protocol.yaml", out, arms=trial.parent / "arms.csv"))
    assert summary.status == "complete"
    return out
