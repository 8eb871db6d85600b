"""Names over the visits of a simulated trial, whose true lesions, identities and deformations are known."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from trialscan.imaging import Units, Volume, read_mask
from trialscan.lesions import Change, VisitFindings, find_lesions, track_patient
from trialscan.phantom import Deformation, TrialDesign, simulate_trial

Floats = NDArray[np.float64]
VISITS = {"V1": 0, "V2": 28, "V3": 56}


@dataclass(frozen=True)
class TrueAlignment:
    """The true map between two scans, and a residual error added to it."""

    followup: Deformation
    baseline: Deformation
    residual: Callable[[Floats], Floats]
    status: str = "pass"
    quality: dict[str, float] = field(default_factory=dict)

    def to_baseline(self, points: Floats) -> Floats:
        return self.baseline.to_scan(self.followup.to_reference(points)) + self.residual(points)

    def to_followup(self, points: Floats) -> Floats:
        return self.followup.to_scan(self.baseline.to_reference(points))


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    design = TrialDesign(
        seed=77,
        arms={"active": {"patients": 3, "slope_per_day": -0.02}, "control": {"patients": 3, "slope_per_day": 0.005}},
        visits=VISITS,
        lesions={"count": (4, 6), "new_share": 0.7, "resolved_share": 0.7, "merge_share": 0.4, "split_share": 0.4},
        scans={"spacing_mm": (4.0, 4.0, 4.0)},
    )
    folder = tmp_path_factory.mktemp("trial")
    simulate_trial(design, folder)
    return folder


def truth_of(trial):
    with (trial / "truth" / "lesions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def deformation(parameters):
    return Deformation(**{name: tuple(v) if isinstance(v, list) else v for name, v in parameters.items()})


@pytest.fixture(scope="module")
def followed(trial, settings, make_segmentation, make_field):
    """For each patient the history, and {(visit, truth's label): our label}."""
    poses = json.loads((trial / "truth" / "deformations.json").read_text("utf-8"))
    return {
        patient: follow(trial, patient, poses[patient], settings, make_segmentation, make_field)
        for patient in sorted(poses)
    }


def follow(trial, patient, poses, settings, make_segmentation, make_field):
    rng = np.random.default_rng(int(patient[1:]))
    visits, matched = [], {}
    for visit, parameters in poses.items():
        classes, organ, true = (
            read_mask(trial / "truth" / kind / patient / f"{visit}.nii.gz")
            for kind in ("lesions", "organ", "components")
        )
        image = classes.with_array(np.zeros(classes.shape, np.float32), Units.HU)
        findings = find_lesions(make_segmentation(classes, organ), image, settings)
        matched |= {(visit, label): number for label, number in overlaps(true, findings.labels)}
        alignment = TrueAlignment(deformation(parameters), deformation(poses["V1"]), make_field(rng, 3.0))
        first = visit == "V1"
        visits.append(VisitFindings(visit, VISITS[visit], findings, None if first else alignment, is_baseline=first))
    return track_patient(visits, settings), matched


def overlaps(true: Volume, found: Volume):
    both = true.array[found.array > 0], found.array[found.array > 0]
    return sorted(set(zip(both[0].tolist(), both[1].tolist(), strict=True)))


@pytest.fixture(scope="module")
def compared(trial, followed):
    """(row of truth, our row or None) for every true lesion above the minimum, and every resolution of one."""
    pairs, name = [], {}
    for row in truth_of(trial):
        history, matched = followed[row["patient_id"]]
        here = [ours for ours in history.rows if ours.visit == row["visit"]]
        key = row["patient_id"], row["lesion_id"]
        if row["event"] == "resolved" and key in name:
            pairs.append((row, next((ours for ours in here if ours.lesion_id == name[key]), None)))
        elif row["label"] and (row["visit"], int(row["label"])) in matched:
            label = matched[row["visit"], int(row["label"])]
            pairs.append((row, next(ours for ours in here if ours.label == label)))
            name.setdefault(key, pairs[-1][1].lesion_id)
    return pairs


def test_nine_in_ten_identities_are_right_over_three_visits(compared):
    first, right = {}, []
    for row, ours in compared:
        key = row["patient_id"], row["lesion_id"]
        if key in first:
            right.append(ours is not None and ours.lesion_id == first[key])
        else:
            first[key] = ours.lesion_id
    assert len(right) >= 40
    assert np.mean(right) >= 0.9


def test_events_are_those_of_the_truth(compared):
    calls = {"new": Change.NEW, "merge": Change.MERGED, "split": Change.SPLIT, "resolved": Change.RESOLVED}
    events = [(calls[row["event"]], ours) for row, ours in compared if row["event"] in calls]
    assert {change for change, _ in events} == set(calls.values())
    assert np.mean([ours is not None and ours.change is change for change, ours in events]) >= 0.9


def test_burden_is_that_of_the_truth_whatever_the_alignment(trial, followed):
    with (trial / "truth" / "burden.csv").open(encoding="utf-8") as file:
        truth = {(row["patient_id"], row["visit"]): float(row["burden_ml"]) for row in csv.DictReader(file)}
    for patient, (history, _) in followed.items():
        for row in history.trajectory:
            assert row.size == pytest.approx(truth[patient, row.visit], rel=0.01)
