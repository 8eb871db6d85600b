"""Linking against truth: simulated patients whose lesions grow, shrink, appear, vanish, merge and split."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from trialscan.lesions import Change, Findings, VisitFindings, track_patient

FIELD_MM = np.array([200.0, 150.0, 200.0])
SPACING = (1.5, 1.5, 2.0)
VISITS = 5
P95_OF_MEAN = 1.75  # of the length of a normal 3-vector


@dataclass(frozen=True)
class Patient:
    """Seeds of disease: fixed places (n, 3) and radii at each visit, 0 where absent; a third of them crowd others."""

    places: NDArray[np.float64]
    radii: NDArray[np.float64]


def draw_patient(rng, lesions, median_ml):
    volumes = median_ml * np.exp(rng.normal(0, 1, lesions))
    places = rng.uniform(0, 1, (lesions, 3)) * FIELD_MM
    crowd = lesions // 3
    places[:crowd] = places[rng.integers(crowd, lesions, crowd)] + rng.normal(0, 10, (crowd, 3))
    growth = rng.normal(0, 0.35, (VISITS, lesions)).cumsum(axis=0)
    first = np.where(rng.random(lesions) < 0.15, rng.integers(1, VISITS, lesions), 0)
    last = np.where(rng.random(lesions) < 0.3, rng.integers(0, VISITS, lesions), VISITS)
    present = (np.arange(VISITS)[:, None] >= first) & (np.arange(VISITS)[:, None] <= last)
    return Patient(places, np.cbrt(3000 * volumes * np.exp(growth) / (4 * np.pi)) * present)


@dataclass(frozen=True)
class SimulatedScan:
    """Findings, and for each lesion number the seeds it is made of."""

    findings: Findings
    made_of: dict[int, set[int]]


def scan(patient, visit, scene, settings, field_mm=FIELD_MM):
    shape = tuple((field_mm / SPACING).astype(int) + 14)
    canvas = scene(shape, SPACING, tuple(-7.0 * np.array(SPACING)))
    balls = {int(n): (tuple(patient.places[n]), patient.radii[visit, n]) for n in np.flatnonzero(patient.radii[visit])}
    findings = canvas.findings(*balls.values(), settings=settings)
    made_of = {lesion.number: set() for lesion in findings.lesions}
    for seed, ball in balls.items():
        box, inside = canvas.ball(*ball)
        for number in np.unique(findings.labels.array[box][inside]):
            made_of.setdefault(int(number), set()).add(seed)
    made_of.pop(0, None)
    return SimulatedScan(findings, made_of)


@pytest.fixture(scope="module", params=[(40, 1.2), (80, 0.3)], ids=["large", "small"])
def patients(request, scene, settings):
    """Three patients of lesions of about 1.2 ml, or of twice as many of about 0.3 ml, each scanned at every visit."""
    drawn = [draw_patient(np.random.default_rng(seed), *request.param) for seed in range(3)]
    return [[scan(patient, visit, scene, settings) for visit in range(VISITS)] for patient in drawn]


def followed(scans, displacements, known_alignment, settings, p95_mm):
    visits = [
        VisitFindings(
            f"V{n}",
            n,
            held.findings,
            known_alignment(displacements[n], quality={"estimated_error_mm_p95": p95_mm}) if n else None,
            is_baseline=n == 0,
        )
        for n, held in enumerate(scans)
    ]
    return track_patient(visits, settings)


def labels_of(history):
    return {(row.visit, row.lesion_id): row.label for row in history.rows if row.label is not None}


def true_links(scans):
    """(visit, earlier number, later number) wherever two lesions of successive visits share a seed."""
    return {
        (f"V{n}", a, b)
        for n in range(1, len(scans))
        for a, one in scans[n - 1].made_of.items()
        for b, other in scans[n].made_of.items()
        if one & other
    }


def found_links(history):
    label = labels_of(history)
    seen = [row for row in history.rows if row.label is not None and row.study_day > 0]
    links = {(row, f"V{row.study_day - 1}", parent) for row in seen for parent in row.predecessors}
    return {(row.visit, label[before, parent], row.label) for row, before, parent in links if (before, parent) in label}


def names_right(history, scans):
    """For each lesion after the first visit: whether the same name was borne, at the visit before, by a lesion that it
    truly continues; or by none, when it continues none, or is not the largest part of one that split."""
    label = labels_of(history)
    right = []
    for row in (row for row in history.rows if row.label is not None and row.study_day > 0):
        before, now = scans[row.study_day - 1], scans[row.study_day]
        parents = {a for a, seeds in before.made_of.items() if seeds & now.made_of[row.label]}
        namesake = label.get((f"V{row.study_day - 1}", row.lesion_id))
        largest = all(row.label <= b for b, seeds in now.made_of.items() for a in parents if seeds & before.made_of[a])
        right.append(namesake in parents or (namesake is None and not (parents and largest)))
    return right


@pytest.mark.parametrize(
    ("residual_mm", "estimated", "edge_f1"),
    [
        (0.0, True, 0.99),
        (1.0, True, 0.99),
        (3.0, True, 0.97),
        (3.0, False, 0.97),
        (5.0, True, 0.93),
        (5.0, False, 0.93),
    ],
)
def test_links_and_names_are_right_under_alignment_error(
    patients, known_alignment, make_field, settings, residual_mm, estimated, edge_f1
):
    right, wrong, missed, names = 0, 0, 0, []
    for seed, scans in enumerate(patients):
        rng = np.random.default_rng([seed, 1])
        displacements = [make_field(rng, residual_mm) for _ in scans]
        p95_mm = P95_OF_MEAN * residual_mm if estimated else None
        history = followed(scans, displacements, known_alignment, settings, p95_mm)
        found, truth = found_links(history), true_links(scans)
        right, wrong, missed = right + len(found & truth), wrong + len(found - truth), missed + len(truth - found)
        names += names_right(history, scans)
    assert 2 * right / (2 * right + wrong + missed) >= edge_f1
    assert np.mean(names) >= 0.9


@pytest.mark.parametrize("seed", range(4))
def test_what_a_cropped_scan_misses_is_never_called_resolved(scene, known_alignment, make_field, settings, seed):
    patient = draw_patient(np.random.default_rng(seed), 40, 0.5)
    field_mm = FIELD_MM * (0.6, 1.0, 0.7)
    scans = [scan(patient, 0, scene, settings), scan(patient, 1, scene, settings, field_mm)]
    displacements = [make_field(np.random.default_rng([seed, 2]), 5.0)] * 2
    history = followed(scans, displacements, known_alignment, settings, P95_OF_MEAN * 5.0)
    label = labels_of(history)
    last = field_mm + 7.0 * np.array(SPACING)
    missed = {row.lesion_id for row in history.rows if row.note == "place not covered by this scan"}
    for row in (row for row in history.rows if row.change is Change.RESOLVED):
        seeds = sorted(scans[0].made_of[label["V0", row.lesion_id]])
        assert np.all(patient.places[seeds] < last)
    assert len(missed) > 5


def families_of(scans):
    """For each (visit, lesion number) its true family: all lesions that seeds in common join over all visits."""
    joined = {}

    def root(seed):
        while joined.setdefault(seed, seed) != seed:
            seed = joined[seed]
        return seed

    for held in scans:
        for seeds in held.made_of.values():
            first, *others = sorted(seeds)
            for other in others:
                joined[root(other)] = root(first)
    return {(f"V{n}", number): root(min(s)) for n, held in enumerate(scans) for number, s in held.made_of.items()}


def test_family_volumes_are_those_of_the_truth(patients, known_alignment, make_field, settings):
    """Volume by true family and visit against that of the found family that holds most of it, at 3 mm of error."""
    wrong = total = 0.0
    for seed, scans in enumerate(patients):
        rng = np.random.default_rng([seed, 3])
        displacements = [make_field(rng, 3.0) for _ in scans]
        history = followed(scans, displacements, known_alignment, settings, P95_OF_MEAN * 3.0)
        truth = families_of(scans)
        seen = [row for row in history.rows if row.label is not None]
        shared = {}
        for row in seen:
            true = truth[row.visit, row.label]
            shared.setdefault(true, {}).setdefault(row.family, 0.0)
            shared[true][row.family] += row.volume_ml
        namesake = {true: max(held, key=held.get) for true, held in shared.items()}
        volumes = {}
        for row in seen:
            true = truth[row.visit, row.label]
            for name, side in ((true, 0), (next((t for t, f in namesake.items() if f == row.family), None), 1)):
                volumes.setdefault((name, row.visit), [0.0, 0.0])[side] += row.volume_ml
        wrong += sum(abs(a - b) for a, b in volumes.values())
        total += sum(a for a, _ in volumes.values())
        burden = {row.visit: row.size for row in history.trajectory}
        for n, held in enumerate(scans):
            assert sum(row.volume_ml for row in seen if row.visit == f"V{n}") == pytest.approx(burden[f"V{n}"])
            assert burden[f"V{n}"] == held.findings.burden.burden_ml
    assert wrong / total <= 0.02


@pytest.mark.parametrize("seed", range(3))
def test_resolved_is_never_said_of_a_place_that_was_not_scanned(scene, known_alignment, make_field, settings, seed):
    """Five visits: one missing, one unaligned for some, three cropped; no resolution is of a place not seen."""
    patient = draw_patient(np.random.default_rng([seed, 8]), 40, 0.6)
    shares = [(1.0, 1.0, 1.0), (0.55, 1.0, 0.8), (1.0, 1.0, 1.0), (0.8, 0.6, 1.0), (0.7, 1.0, 0.6)]
    fields = [FIELD_MM * share for share in shares]
    scans = [scan(patient, n, scene, settings, field) for n, field in enumerate(fields)]
    rng = np.random.default_rng([seed, 4])
    visits = [
        VisitFindings(
            f"V{n}",
            n,
            None if n == 2 else held.findings,
            known_alignment(make_field(rng, 3.0), status="fail" if n == 3 and seed == 0 else "pass") if n else None,
            is_baseline=n == 0,
            status="missing" if n == 2 else "ok",
        )
        for n, held in enumerate(scans)
    ]
    history = track_patient(visits, settings)
    place = {}
    for row in history.rows:
        if row.label is not None:
            place[row.lesion_id] = patient.places[sorted(scans[row.study_day].made_of[row.label])]
    gone = [row for row in history.rows if row.change is Change.RESOLVED]
    for row in gone:
        assert row.study_day != 2
        assert np.all(place[row.lesion_id] < fields[row.study_day] + 7.0 * np.array(SPACING))
    unseen = [row for row in history.rows if row.change is Change.NOT_ASSESSED and row.label is None]
    assert len(gone) >= 2
    assert len(unseen) >= 20
