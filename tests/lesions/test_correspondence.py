"""Linking against truth: simulated patients whose lesions grow, shrink, appear, vanish, merge and split."""

import numpy as np
import pytest

from tests.lesions.simulated_patients import (
    FIELD_MM,
    VISITS,
    Field,
    LinkScore,
    cropped,
    draw_patient,
    family_errors,
    followed,
    resolved_shares,
    scan,
    score_links,
    whole,
)
from trialscan.lesions import Change


@pytest.fixture(scope="module", params=[(40, 1.2, 1 / 3), (80, 0.3, 1 / 3)], ids=["large", "small"])
def patients(request, settings):
    """Three patients of lesions of about 1.2 ml, or of twice as many of about 0.3 ml, each scanned at every visit."""
    drawn = [draw_patient(np.random.default_rng(seed), *request.param) for seed in range(3)]
    return [[scan(patient, visit, settings) for visit in range(VISITS)] for patient in drawn]


def names_right(history, scans):
    """For each lesion after the first visit: whether the same name was borne, at the visit before, by a lesion that it
    truly continues; or by none, when it continues none, or is not the largest part of one that split."""
    label = {(row.visit, row.lesion_id): row.label for row in history.rows if row.label is not None}
    right = []
    for row in (row for row in history.rows if row.label is not None and row.study_day > 0):
        before, now = scans[row.study_day - 1], scans[row.study_day]
        parents = {a for a, seeds in before.made_of.items() if seeds & now.made_of[row.label]}
        namesake = label.get((f"V{row.study_day - 1}", row.lesion_id))
        largest = all(row.label <= b for b, seeds in now.made_of.items() for a in parents if seeds & before.made_of[a])
        right.append(namesake in parents or (namesake is None and not (parents and largest)))
    return right


@pytest.mark.parametrize(
    ("residual_mm", "told", "edge_f1"),
    [
        (0.0, True, 0.99),
        (1.0, True, 0.99),
        (3.0, True, 0.98),
        (3.0, False, 0.98),
        (5.0, True, 0.96),
        (5.0, False, 0.96),
    ],
)
def test_links_names_and_family_volumes_are_right_under_alignment_error(patients, settings, residual_mm, told, edge_f1):
    links, names, misplaced, volume = LinkScore(), [], 0.0, 0.0
    for seed, scans in enumerate(patients):
        history = followed(scans, np.random.default_rng([seed, 1]), residual_mm, settings, told=told)
        links += score_links(history, scans)
        names += names_right(history, scans)
        wrong, total = family_errors(history, scans)
        misplaced, volume = misplaced + wrong, volume + total
        for row, held in zip(history.trajectory, scans, strict=True):
            seen = [line.volume_ml for line in history.rows if line.visit == row.visit and line.label is not None]
            assert sum(seen) == pytest.approx(row.size)
            assert row.size == held.findings.burden.burden_ml
    assert links.f1 >= edge_f1
    assert np.mean(names) >= 0.95
    assert misplaced / volume <= 0.02


@pytest.mark.parametrize("seed", range(4))
def test_what_a_cropped_scan_misses_is_never_called_resolved(settings, seed):
    patient = draw_patient(np.random.default_rng(seed), 40, 0.5)
    part = Field(whole().low, whole().high - FIELD_MM * (0.4, 0.0, 0.3))
    scans = [scan(patient, 0, settings), scan(patient, 1, settings, part)]
    history = followed(scans, np.random.default_rng([seed, 2]), 5.0, settings, told=True)
    assert all(share > 0.5 for share in resolved_shares(history, scans))
    assert sum(row.note == "place not covered by this scan" for row in history.rows) > 5


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_gaps_and_crops_at_any_visit_end_no_lesion(settings, seed, told):
    """The baseline cropped, the first follow-up missing, one visit unaligned or cropped."""
    rng = np.random.default_rng([seed, 8])
    patient = draw_patient(rng, 40, 0.6)
    fields = [cropped(rng), whole("missing"), whole(), whole("unaligned") if seed == 0 else cropped(rng), cropped(rng)]
    scans = [scan(patient, visit, settings, field) for visit, field in enumerate(fields)]
    history = followed(scans, rng, 5.0, settings, told=told)
    assert all(share > 0.5 for share in resolved_shares(history, scans))
    assert len(resolved_shares(history, scans)) >= 2
    assert score_links(history, scans).f1 >= 0.93
    unseen = [row for row in history.rows if row.change is Change.NOT_ASSESSED and row.label is None]
    assert len(unseen) >= 20


def test_a_single_lesion_is_followed_through_gaps(settings):
    rng = np.random.default_rng(4)
    patient = draw_patient(rng, 1, 1.0, 0.0)
    fields = [whole(), whole("missing"), whole("unaligned"), whole(), whole()]
    scans = [scan(patient, visit, settings, field) for visit, field in enumerate(fields)]
    score = score_links(followed(scans, rng, 1.0, settings, told=True), scans)
    assert (score.wrong, score.missed) == (0, 0)
