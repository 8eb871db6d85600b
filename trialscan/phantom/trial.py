"""A simulated trial as a folder: manifest and scans as a trial has them, the truth beside them."""

import csv
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from trialscan.errors import UsageError
from trialscan.phantom.courses import allocate
from trialscan.phantom.design import TrialDesign
from trialscan.phantom.patient import PatientTruth, simulate_patient

Progress = Callable[[int, int], None]


def simulate_trial(design: TrialDesign, out: Path, jobs: int = 1, progress: Progress | None = None) -> Path:
    """Simulate every patient of a design and write the trial under `out`; returns the manifest's path.

    Written: ``manifest.csv`` (patient_id, visit, study_day, scan, age, sex, site; no arm, so that whoever reads the
    scans is blind), ``arms.csv`` (patient_id, arm), ``scans/<patient>/<visit>.nii.gz``, and under ``truth/``: masks
    of lungs (``organ``), of lesion classes (``lesions``) and of connected lesions (``components``); ``burden.csv``,
    ``lesions.csv``, ``patients.csv``, ``deformations.json``, and ``trial.json`` with the slopes by arm. The same
    design gives the same bytes, whatever the number of `jobs`.

    Parameters
    ----------
    jobs : processes to share the patients among.
    progress : told (patients done, patients in all) after each patient.

    Raises
    ------
    UsageError : `out` exists and is not empty, or `jobs` is not positive.
    """
    if jobs < 1:
        raise UsageError("jobs", str(jobs), "a positive number")
    if out.exists() and any(out.iterdir()):
        raise UsageError(str(out), "a folder that is not empty", "a new or empty one", "Name another folder.")
    (out / "truth").mkdir(parents=True, exist_ok=True)
    patients = []
    for patient in _simulated(design, out, jobs):
        patients.append(patient)
        if progress is not None:
            progress(len(patients), len(design.patient_ids))
    return _write_tables(design, out, patients)


def _simulated(design: TrialDesign, out: Path, jobs: int) -> Iterator[PatientTruth]:
    """The truth of every patient, in order."""
    if jobs == 1:
        for patient_id in design.patient_ids:
            yield simulate_patient(design, patient_id, out)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        work = [pool.submit(simulate_patient, design, patient_id, out) for patient_id in design.patient_ids]
        for future in work:
            yield future.result()


def _write_tables(design: TrialDesign, out: Path, patients: Sequence[PatientTruth]) -> Path:
    manifest, truth = out / "manifest.csv", out / "truth"
    arms = [{"patient_id": patient_id, "arm": arm} for patient_id, arm in sorted(allocate(design).items())]
    _write_csv(out / "arms.csv", arms)
    _write_csv(truth / "burden.csv", [row for p in patients for row in p.burden])
    _write_csv(truth / "lesions.csv", [row for p in patients for row in p.lesions])
    _write_csv(truth / "patients.csv", [p.patient for p in patients])
    _write_json(truth / "deformations.json", {str(p.patient["patient_id"]): p.deformations for p in patients})
    _write_json(truth / "trial.json", _trial_truth(design))
    _write_csv(manifest, [row for p in patients for row in p.scans])
    return manifest


def _trial_truth(design: TrialDesign) -> Mapping[str, Any]:
    """The parameters that an analysis of log(1 + burden in ml) by arm and day estimates."""
    slopes = {name: arm.slope_per_day for name, arm in design.arms.items()}
    names = sorted(slopes)
    return {
        "title": design.title,
        "scale": "log1p(burden_ml)",
        "unit": "per day",
        "slope_per_day": slopes,
        "reference_arm": names[0],
        "slope_difference_per_day": {name: slopes[name] - slopes[names[0]] for name in names[1:]},
        "intercept": design.burden.mean,
        "design": design.model_dump(mode="json"),
    }


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows in their order; numbers by repr, so that nothing is lost."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
