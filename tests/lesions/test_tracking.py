from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import LesionError
from trialscan.lesions import Change, VisitFindings, track_patient
from trialscan.registration import Alignment, AlignmentStatus
from trialscan.study.sections import LesionSettings

A, B, C = (15.0, 15.0, 30.0), (45.0, 20.0, 30.0), (30.0, 45.0, 30.0)


def course(history, lesion_id):
    """(visit, change) of one lesion, in order."""
    return [(row.visit, row.change) for row in history.rows if row.lesion_id == lesion_id]


def at(history, visit):
    return {row.lesion_id: row for row in history.rows if row.visit == visit}


def missing(name, day, status="missing"):
    return VisitFindings(name, day, None, status=status)


def test_lesions_keep_their_names_and_their_change_is_called(scene, settings):
    canvas = scene()
    history = track_patient(
        [
            canvas.visit("V1", 0, (A, 6), (B, 5), (C, 7), settings=settings),
            canvas.visit("V2", 30, (A, 8), (B, 5), (C, 5), settings=settings),
            canvas.visit("V3", 60, (A, 8), (B, 5.1), (C, 5), settings=settings),
        ],
        settings,
    )
    # C is the largest at first, then A, then B.
    assert course(history, "L01") == [("V1", None), ("V2", Change.SHRINKING), ("V3", Change.STABLE)]
    assert course(history, "L02") == [("V1", None), ("V2", Change.GROWING), ("V3", Change.STABLE)]
    assert course(history, "L03") == [("V1", None), ("V2", Change.STABLE), ("V3", Change.STABLE)]
    grown = at(history, "V2")["L02"]
    assert grown.change_percent == pytest.approx(100 * ((8 / 6) ** 3 - 1), rel=0.08)
    assert grown.predecessors == ("L02",)
    assert grown.centroid_mm == pytest.approx(A, abs=0.2)
    assert [row.family for row in history.rows] == ["F01", "F02", "F03"] * 3
    assert at(history, "V3")["L02"].family_change_percent == pytest.approx(100 * ((8 / 6) ** 3 - 1), rel=0.08)
    assert at(history, "V1")["L02"].family_change_percent == 0


def test_new_resolved_and_returned(scene, settings):
    canvas = scene()
    history = track_patient(
        [
            canvas.visit("V1", 0, (A, 6), settings=settings),
            canvas.visit("V2", 30, (A, 6), (B, 5), settings=settings),
            canvas.visit("V3", 60, (A, 6), settings=settings),
            canvas.visit("V4", 90, (A, 6), settings=settings),
            canvas.visit("V5", 120, (A, 6), (B, 4), settings=settings),
        ],
        settings,
    )
    assert course(history, "L02") == [("V2", Change.NEW), ("V3", Change.RESOLVED), ("V5", Change.NEW)]
    gone = at(history, "V3")["L02"]
    assert (gone.volume_ml, gone.longest_diameter_mm, gone.organ_percent) == (0, 0, 0)
    assert (gone.change_percent, gone.label, gone.mean_intensity) == (-100, None, None)
    assert gone.centroid_mm == pytest.approx(B, abs=0.2)
    back = at(history, "V5")["L02"]
    assert back.note == "returned, last seen at V2"
    assert back.predecessors == ("L02",)
    assert [row.new_count for row in history.trajectory] == [None, 1, 0, 0, 1]
    assert [row.resolved_count for row in history.trajectory] == [None, 0, 1, 0, 0]
    assert history.trajectory[2].resolved_size == pytest.approx(at(history, "V2")["L02"].volume_ml)
    assert history.trajectory[1].new_size == pytest.approx(at(history, "V2")["L02"].volume_ml)


def test_a_merge_keeps_the_largest_name_lists_all_and_conserves_the_family(scene, settings):
    canvas = scene()
    near = (28.0, 15.0, 30.0)
    history = track_patient(
        [
            canvas.visit("V1", 0, (A, 6), (near, 5), (C, 7), settings=settings),
            canvas.visit("V2", 30, (A, 7.5), (near, 6.5), (C, 7), settings=settings),
            canvas.visit("V3", 60, (A, 6), (near, 5), (C, 7), settings=settings),
        ],
        settings,
    )
    merged = at(history, "V2")
    assert set(merged) == {"L01", "L02"}
    assert merged["L02"].change is Change.MERGED
    assert merged["L02"].predecessors == ("L02", "L03")
    before = at(history, "V1")
    total = before["L02"].volume_ml + before["L03"].volume_ml
    assert merged["L02"].change_percent == pytest.approx(100 * (merged["L02"].volume_ml / total - 1))
    assert merged["L02"].note == "total growing"
    split = at(history, "V3")
    assert split["L02"].change is split["L04"].change is Change.SPLIT
    assert split["L02"].predecessors == split["L04"].predecessors == ("L02",)
    assert split["L02"].volume_ml > split["L04"].volume_ml
    assert split["L02"].change_percent == split["L04"].change_percent < 0
    assert {row.family for row in history.rows if row.lesion_id != "L01"} == {"F02"}
    assert split["L04"].family_change_percent == pytest.approx(0, abs=0.5)
    assert not any(row.change is Change.RESOLVED for row in history.rows)


@pytest.mark.parametrize("status", ["missing", "failed"])
def test_a_gap_is_not_assessed_and_the_next_visit_compares_across_it(scene, settings, status):
    canvas = scene()
    history = track_patient(
        [
            canvas.visit("V1", 0, (A, 6), settings=settings),
            missing("V2", 30, status),
            canvas.visit("V3", 60, (A, 8), settings=settings),
            missing("V4", 90, status),
        ],
        settings,
    )
    changes = [None, Change.NOT_ASSESSED, Change.GROWING, Change.NOT_ASSESSED]
    assert course(history, "L01") == list(zip(["V1", "V2", "V3", "V4"], changes, strict=True))
    gap = at(history, "V2")["L01"]
    assert (gap.volume_ml, gap.organ_percent, gap.predecessors, gap.note) == (None, None, (), f"scan {status}")
    assert gap.family_change_percent is None
    assert at(history, "V3")["L01"].change_percent == pytest.approx(100 * ((8 / 6) ** 3 - 1), rel=0.08)
    assert history.trajectory[1].size is None
    assert history.trajectory[1].status == status


@pytest.mark.parametrize("aligned", [True, False])
def test_without_alignment_burden_stays_and_links_fall(scene, settings, known_alignment, aligned):
    canvas = scene()
    failed = known_alignment(status="fail") if aligned else None
    reason = "not linked: alignment failed" if aligned else "not linked: no alignment to the baseline"
    history = track_patient(
        [
            canvas.visit("V1", 0, (A, 6), settings=settings),
            canvas.visit("V2", 30, (A, 7), (B, 5), settings=settings, alignment=failed),
            canvas.visit("V3", 60, (A, 6), settings=settings),
        ],
        settings,
    )
    rows = at(history, "V2")
    assert list(rows) == ["L01", "V2-1", "V2-2"]
    assert all(row.change is Change.NOT_ASSESSED and row.note == reason for row in rows.values())
    assert rows["L01"].volume_ml is None
    assert rows["V2-1"].family == ""
    assert rows["V2-1"].centroid_mm is None
    seen = rows["V2-1"].volume_ml + rows["V2-2"].volume_ml
    assert seen == pytest.approx(history.trajectory[1].size)
    assert history.trajectory[1].new_count is None
    assert course(history, "L01")[-1] == ("V3", Change.STABLE)


def test_a_failed_baseline_leaves_every_visit_by_itself(scene, settings):
    canvas = scene()
    baseline = VisitFindings("V1", 0, None, is_baseline=True, status="failed")
    history = track_patient([baseline, canvas.visit("V2", 30, (A, 6), settings=settings, alignment=None)], settings)
    assert [(row.lesion_id, row.change) for row in history.rows] == [("V2-1", Change.NOT_ASSESSED)]
    assert history.trajectory[1].size > 0
    assert history.trajectory[1].size_change is None


def test_resolved_needs_the_place_to_be_scanned(scene, settings):
    whole = scene()
    cropped = scene(shape=(36, 60, 60))
    visits = [
        whole.visit("V1", 0, (A, 6), (B, 6), settings=settings),
        cropped.visit("V2", 30, (A, 6), settings=settings),
        whole.visit("V3", 60, (A, 6), settings=settings),
    ]
    history = track_patient(visits, settings)
    assert course(history, "L02") == [("V1", None), ("V2", Change.NOT_ASSESSED), ("V3", Change.RESOLVED)]
    assert at(history, "V2")["L02"].note == "place not covered by this scan"
    assert history.trajectory[1].resolved_count == 0


def test_new_needs_the_place_to_have_been_scanned(scene, settings):
    whole = scene()
    cropped = scene(shape=(36, 60, 60))
    first = cropped.visit("V1", 0, (A, 6), settings=settings)
    never = track_patient([first, whole.visit("V2", 30, (A, 6), (B, 6), settings=settings)], settings)
    assert at(never, "V2")["L02"].change is Change.NOT_ASSESSED
    assert at(never, "V2")["L02"].volume_ml > 0
    assert never.trajectory[1].new_count == 0
    before = [
        whole.visit("V1", 0, (A, 6), settings=settings),
        cropped.visit("V2", 30, (A, 6), settings=settings),
        whole.visit("V3", 60, (A, 6), (B, 6), settings=settings),
    ]
    later = track_patient(before, settings)
    assert at(later, "V3")["L02"].change is Change.NEW
    assert at(later, "V3")["L02"].note == "place last seen at V1"


def test_a_lesion_cut_by_the_field_is_not_called_shrinking(scene, settings):
    centre = (30.0, 30.0, 30.0)
    history = track_patient(
        [
            scene().visit("V1", 0, (centre, 8), settings=settings),
            scene(shape=(30, 60, 60)).visit("V2", 30, (centre, 8), settings=settings),
        ],
        settings,
    )
    row = at(history, "V2")["L01"]
    assert row.change is Change.INDETERMINATE
    assert row.change_percent < -40
    assert row.note == "cut by the edge of the scan"


def test_a_displacement_is_undone_by_the_alignment(scene, settings, known_alignment):
    canvas = scene()
    moved = tuple(np.add(A, (12.0, 9.0, -10.0)))
    shift = known_alignment(lambda points: np.full_like(points, 1) * (-12.0, -9.0, 10.0))
    baseline = canvas.visit("V1", 0, (A, 6), settings=settings)
    followup = canvas.visit("V2", 30, (moved, 6), settings=settings, alignment=shift)
    row = at(track_patient([baseline, followup], settings), "V2")["L01"]
    assert row.change is Change.STABLE
    assert row.centroid_mm == pytest.approx(A, abs=0.2)
    unaligned = track_patient([baseline, replace(followup, alignment=known_alignment())], settings)
    assert at(unaligned, "V2")["L02"].change is Change.NEW


def test_an_alignment_of_the_registration_room_serves(scene, settings):
    canvas = scene()
    moved = tuple(np.add(A, (12.0, 9.0, -10.0)))
    there = sitk.AffineTransform(np.eye(3).ravel().tolist(), (12.0, 9.0, -10.0))
    back = sitk.AffineTransform(np.eye(3).ravel().tolist(), (-12.0, -9.0, 10.0))
    quality = {"estimated_error_mm_p95": 2.0}
    maps = sitk.CompositeTransform([there]), sitk.CompositeTransform([back])
    alignment = Alignment(AlignmentStatus.PASS, "rigid", "simpleitk", quality, (), *maps)
    baseline = canvas.visit("V1", 0, (A, 6), settings=settings)
    followup = canvas.visit("V2", 30, (moved, 6), settings=settings, alignment=alignment)
    (row,) = at(track_patient([baseline, followup], settings), "V2").values()
    assert row.change is Change.STABLE
    assert row.centroid_mm == pytest.approx(A, abs=0.2)
    failed = replace(followup, alignment=replace(alignment, status=AlignmentStatus.FAIL))
    assert set(at(track_patient([baseline, failed], settings), "V2")) == {"L01", "V2-1"}


@pytest.mark.parametrize(("p95", "linked"), [(None, False), (2.0, False), (9.0, True), (60.0, True)])
def test_the_tolerance_follows_the_estimated_error(scene, settings, known_alignment, p95, linked):
    canvas = scene()
    aside = tuple(np.add(A, (11.0, 0.0, 0.0)))
    alignment = known_alignment(quality={"estimated_error_mm_p95": p95})
    visits = [
        canvas.visit("V1", 0, (A, 4), settings=settings),
        canvas.visit("V2", 30, (aside, 4), settings=settings, alignment=alignment),
    ]
    assert ("L02" not in at(track_patient(visits, settings), "V2")) == linked
    far = canvas.visit("V2", 30, (tuple(np.add(A, (30.0, 0.0, 0.0))), 4), settings=settings, alignment=alignment)
    assert "L02" in at(track_patient([visits[0], far], settings), "V2")


def test_visits_may_come_in_any_order(scene, settings):
    canvas = scene()
    visits = [
        canvas.visit("V1", 0, (A, 6), (B, 5), settings=settings),
        missing("V2", 30),
        canvas.visit("V3", 60, (A, 7), (C, 7), settings=settings),
        canvas.visit("V4", 90, (A, 7), (B, 5), (C, 5), settings=settings),
    ]
    first = track_patient(visits, settings)
    assert all(track_patient(order, settings) == first for order in permutations(visits))


def test_a_visit_before_the_baseline_is_followed_too(scene, settings, known_alignment):
    canvas = scene()
    screening = canvas.visit("S", -20, (A, 5), settings=settings, alignment=known_alignment())
    history = track_patient([canvas.visit("V1", 0, (A, 6), settings=settings), screening], settings)
    assert course(history, "L01") == [("S", None), ("V1", Change.GROWING)]
    assert [row.size_change for row in history.trajectory] == [None, 0]


def test_images_without_millimetres_are_followed_by_share(scene, settings):
    canvas = scene((120, 100, 1), spacing_known=False)
    history = track_patient(
        [
            canvas.visit("V1", 0, ((40, 40, 0), 10), ((90, 70, 0), 8), settings=settings),
            canvas.visit("V2", 7, ((40, 40, 0), 14), settings=settings),
        ],
        settings,
    )
    grown, gone = at(history, "V2")["L01"], at(history, "V2")["L02"]
    assert grown.change is Change.GROWING
    assert grown.change_percent == pytest.approx(96, abs=6)
    assert grown.volume_ml is grown.centroid_mm is grown.longest_diameter_mm is None
    assert grown.organ_percent > 0
    assert (gone.change, gone.organ_percent, gone.volume_ml) == (Change.RESOLVED, 0, None)
    assert history.trajectory[1].measure == "organ_percent"


def test_planar_images_with_spacing_are_followed_by_area(scene, settings):
    canvas = scene((120, 100, 1), (0.5, 0.5, 1.0))
    visits = [
        canvas.visit("V1", 0, ((20, 20, 0), 5), settings=settings),
        canvas.visit("V2", 7, ((20, 20, 0), 7), settings=settings),
    ]
    row = at(track_patient(visits, settings), "V2")["L01"]
    assert row.change is Change.GROWING
    assert row.area_mm2 == pytest.approx(np.pi * 49, rel=0.02)
    assert row.volume_ml is None
    assert row.centroid_mm == pytest.approx((20, 20, 0), abs=0.1)


def test_scans_of_different_grids_are_compared_in_millilitres(scene, settings):
    fine = scene((60, 60, 60)).visit("V1", 0, (A, 8), settings=settings)
    thick = scene((75, 75, 12), (0.8, 0.8, 5.0)).visit("V2", 30, (A, 8), settings=settings)
    row = at(track_patient([fine, thick], settings), "V2")["L01"]
    assert row.change is Change.STABLE
    assert abs(row.change_percent) < 8


def test_no_lesion_anywhere(scene, settings):
    canvas = scene()
    history = track_patient(
        [canvas.visit("V1", 0, settings=settings), canvas.visit("V2", 30, settings=settings)], settings
    )
    assert history.rows == ()
    assert [row.size for row in history.trajectory] == [0, 0]
    assert history.trajectory[1].change_percent is None
    assert track_patient([], settings).trajectory == ()


def test_contradictions_are_refused(scene, settings, known_alignment):
    visit = scene().visit("V1", 0, (A, 6), settings=settings)
    bad = {
        "more than once": [visit, visit],
        "all as baseline": [visit, replace(visit, visit="V2", study_day=3)],
        "findings: none": [replace(visit, findings=None)],
        "findings: some": [replace(visit, status="missing")],
        "baseline with an alignment": [replace(visit, alignment=known_alignment())],
    }
    for message, visits in bad.items():
        with pytest.raises(LesionError, match=message):
            track_patient(visits, settings)


def test_names_do_not_depend_on_the_minimum_of_others(scene):
    settings = LesionSettings(minimum_ml=0.02)
    canvas = scene()
    balls = [((x, y, 30.0), 2.5) for x in (8.0, 24.0, 40.0) for y in (8.0, 24.0, 40.0)]
    history = track_patient(
        [canvas.visit("V1", 0, *balls, settings=settings), canvas.visit("V2", 9, *balls, settings=settings)], settings
    )
    first, second = at(history, "V1"), at(history, "V2")
    assert list(first) == list(second) == [f"L{n:02d}" for n in range(1, 10)]
    assert all(first[name].centroid_mm == second[name].centroid_mm for name in first)


SPECK = 2.3  # mm: 57 voxels of 1 mm³, about half of the minimum


def test_what_shrank_below_the_minimum_is_not_resolved(scene, settings):
    canvas = scene()
    history = track_patient(
        [
            canvas.visit("V1", 0, (A, 6), (B, 5), settings=settings),
            canvas.visit("V2", 30, (A, SPECK), settings=settings),
            canvas.visit("V3", 60, settings=settings),
        ],
        settings,
    )
    assert course(history, "L01") == [("V1", None), ("V2", Change.SHRINKING), ("V3", Change.RESOLVED)]
    assert course(history, "L02") == [("V1", None), ("V2", Change.RESOLVED)]
    held = at(history, "V2")["L01"]
    assert held.note == "0.057 ml in spots below the minimum size"
    assert held.volume_ml == 0
    assert held.change_percent == pytest.approx(100 * (57 / 925 - 1), abs=0.1)
    assert held.change_probability > 0.99
    assert [row.resolved_count for row in history.trajectory] == [None, 1, 1]
    assert at(history, "V2")["L02"].change_probability > 0.99


def test_what_had_been_there_below_the_minimum_is_not_new(scene, settings):
    canvas = scene()
    visits = [
        canvas.visit("V1", 0, (A, 6), (B, SPECK), settings=settings),
        canvas.visit("V2", 30, (A, 6), (B, 5), (C, 3), settings=settings),
    ]
    history = track_patient(visits, settings)
    assert at(history, "V2")["L02"].change is Change.GROWING
    assert at(history, "V2")["L02"].note == "0.057 ml in spots below the minimum size at V1"
    assert at(history, "V2")["L03"].change is Change.NEW
    assert history.trajectory[1].new_count == 1
    barely = canvas.visit("V2", 30, (A, 6), (B, 3.0), settings=settings)  # 0.12 ml, the minimum is 0.1
    close = at(track_patient([visits[0], barely], settings), "V2")["L02"]
    assert close.change is Change.GROWING
    wide = LesionSettings(repeatability_percent=60.0)
    doubtful = at(track_patient([visits[0], barely], wide), "V2")["L02"]
    assert (doubtful.change, doubtful.note) == (Change.INDETERMINATE, close.note)


def test_a_new_lesion_at_the_minimum_is_new_with_a_probability_of_a_half(scene):
    size = scene().findings((B, 4), settings=LesionSettings(minimum_ml=0.01)).lesions[0].volume_ml
    settings = LesionSettings(minimum_ml=size)
    canvas = scene()
    visits = [canvas.visit("V1", 0, settings=settings), canvas.visit("V2", 30, (B, 4), settings=settings)]
    row = at(track_patient(visits, settings), "V2")["L01"]
    assert (row.change, row.change_probability) == (Change.NEW, pytest.approx(0.5))


def unsure_at(visit, canvas, ball):
    """The visit, with the model unsure of a ball that it did not outline."""
    doubtful = np.argwhere(canvas.mask(ball).array).astype(np.float64)
    return replace(visit, findings=replace(visit.findings, doubtful=doubtful))


def test_what_the_model_was_unsure_of_is_neither_resolved_nor_new(scene, settings):
    canvas = scene()
    visits = [
        canvas.visit("V1", 0, (A, 6), (B, 5), settings=settings),
        unsure_at(canvas.visit("V2", 30, (A, 6), settings=settings), canvas, (B, 4)),
        canvas.visit("V3", 60, (A, 6), settings=settings),
    ]
    history = track_patient(visits, settings)
    assert course(history, "L02") == [("V1", None), ("V2", Change.INDETERMINATE), ("V3", Change.RESOLVED)]
    held = at(history, "V2")["L02"]
    assert (held.note, held.volume_ml) == ("the model's probability lies just under its threshold", 0)
    assert [row.resolved_count for row in history.trajectory] == [None, 0, 1]
    elsewhere = unsure_at(canvas.visit("V2", 30, (A, 6), settings=settings), canvas, (C, 4))
    assert at(track_patient([visits[0], elsewhere], settings), "V2")["L02"].change is Change.RESOLVED

    before = unsure_at(canvas.visit("V1", 0, (A, 6), settings=settings), canvas, (B, 4))
    after = canvas.visit("V2", 30, (A, 6), (B, 5), (C, 5), settings=settings)
    rows = at(track_patient([before, after], settings), "V2")
    assert {(row.change, row.note) for row in rows.values() if row.change is not Change.STABLE} == {
        (Change.INDETERMINATE, "the model's probability lies just under its threshold at V1"),
        (Change.NEW, ""),
    }
