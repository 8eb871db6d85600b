from dataclasses import replace

import numpy as np
import pytest

from trialscan.lesions import BURDEN, VisitFindings, burden_limits, comparison_flags, track_patient
from trialscan.study.sections import LesionSettings

HERE = (30.0, 30.0, 30.0)
THERE = (48.0, 48.0, 30.0)
PRECISE = LesionSettings(repeatability=[{"sd_log": 0.1, "sd_log_across": 0.3}])


def visits(scene, settings, radii):
    canvas = scene()
    return [
        canvas.visit(f"V{n}", 30 * n, *([] if radius is None else [(HERE, radius)]), settings=settings)
        for n, radius in enumerate(radii)
    ]


def test_nadir_and_best_response_follow_the_burden(scene, settings):
    scans = visits(scene, settings, [8, 6, 7, 5, 9])
    burden = [visit.findings.burden.burden_ml for visit in scans]
    rows = track_patient(scans, settings).trajectory
    assert [row.measure for row in rows] == ["volume_ml"] * 5
    assert [row.size for row in rows] == burden
    assert [row.size_change for row in rows] == pytest.approx([value - burden[0] for value in burden])
    percent = [100 * (value / burden[0] - 1) for value in burden]
    assert [row.change_percent for row in rows] == pytest.approx(percent)
    assert [row.nadir for row in rows] == [burden[0], burden[1], burden[1], burden[3], burden[3]]
    assert rows[4].change_from_nadir_percent == pytest.approx(100 * (burden[4] / burden[3] - 1))
    assert rows[0].best_response_percent is None
    assert [row.best_response_percent for row in rows[1:]] == pytest.approx(
        [percent[1], percent[1], percent[3], percent[3]]
    )


def test_a_missing_visit_has_no_figures_and_leaves_the_course_alone(scene, settings):
    scans = visits(scene, settings, [8, 5, 7])
    gap = VisitFindings("V9", 45, None, status="missing")
    rows = {row.visit: row for row in track_patient([*scans, gap], settings).trajectory}
    assert list(rows) == ["V0", "V1", "V9", "V2"]
    figures = (rows["V9"].size, rows["V9"].size_change, rows["V9"].nadir, rows["V9"].best_response_percent)
    assert figures == (None, None, None, None)
    assert rows["V9"].new_count is rows["V9"].resolved_count is None
    assert rows["V2"].nadir == rows["V1"].size


def test_from_nothing_there_is_no_percentage(scene, settings):
    rows = track_patient(visits(scene, settings, [None, 6]), settings).trajectory
    assert rows[1].size_change == rows[1].size > 0
    assert rows[1].change_percent is rows[1].best_response_percent is rows[1].change_from_nadir_percent is None


def test_one_scan_without_millilitres_turns_all_to_percent(scene, settings):
    canvas, flat = scene(), scene((60, 60, 1))
    history = track_patient(
        [
            canvas.visit("V1", 0, (HERE, 8), settings=settings),
            flat.visit("V2", 30, ((30, 30, 0), 8), settings=settings, alignment=None),
        ],
        settings,
    )
    assert [row.measure for row in history.trajectory] == ["organ_percent"] * 2
    assert history.trajectory[1].size == pytest.approx(100 * 197 / 3600, abs=0.2)


def test_limits_of_the_burden_come_from_its_lesions(scene):
    visit = scene().visit("V1", 0, (HERE, 7), (THERE, 5), settings=PRECISE)
    (row,) = track_patient([visit], PRECISE).trajectory
    first, second = (lesion.volume_ml for lesion in visit.findings.lesions)
    sd = 0.1 * np.hypot(first, second) / (first + second)
    assert row.size == pytest.approx(first + second)
    assert (row.size_lower, row.size_upper) == pytest.approx(
        (row.size * np.exp(-1.96 * sd), row.size * np.exp(1.96 * sd)), rel=1e-4
    )
    (empty,) = track_patient([scene().visit("V1", 0, settings=PRECISE)], PRECISE).trajectory
    assert (empty.size, empty.size_lower, empty.size_upper, empty.lesion_count) == (0, None, None, 0)


def test_progression_is_a_rise_above_the_nadir_beyond_measurement_error(scene):
    # Ratios to the nadir (radius 6) of volume: 1.05, 1.46, 1.27; 95 % of unchanged ones stay within exp(0.277) = 1.32.
    scans = visits(scene, PRECISE, [7, 6, 6.1, 6.8, 6.5])
    rows = track_patient(scans, PRECISE).trajectory
    assert [row.progressed for row in rows] == [False, False, False, True, False]
    assert [row.days_to_progression for row in rows] == [None, None, None, 90, 90]
    changed = [replace(scan, scanner="A" if n < 3 else "B") for n, scan in enumerate(scans)]
    assert not any(row.progressed for row in track_patient(changed, PRECISE).trajectory)
    flags = comparison_flags(changed, track_patient(changed, PRECISE), PRECISE)
    assert [flags[f"V{n}"] for n in range(5)] == [(), (), (), ("scanner_changed",), ()]


def test_each_lesion_and_family_has_its_course(scene):
    canvas = scene()
    near = (28.0, 15.0, 30.0)
    scans = [
        canvas.visit("V1", 0, ((15.0, 15.0, 30.0), 6), (near, 5), (THERE, 7), settings=PRECISE),
        canvas.visit("V2", 30, ((15.0, 15.0, 30.0), 7.5), (near, 6.5), settings=PRECISE),
        VisitFindings("V3", 60, None, status="missing"),
        canvas.visit("V4", 90, ((15.0, 15.0, 30.0), 6), (near, 5), ((48.0, 15.0, 30.0), 5), settings=PRECISE),
    ]
    history = track_patient(scans, PRECISE)
    courses = {}
    for row in history.courses:
        courses.setdefault(row.course, {})[row.visit] = row
    assert list(courses) == ["F02", "L01", "L02", "L03", "L04", "L05"]
    family = courses["F02"]
    totals = [
        sum(lesion.volume_ml for lesion in scan.findings.lesions if lesion.centroid[1] < 30) for scan in scans[:2]
    ]
    assert [family["V1"].size, family["V2"].size] == pytest.approx(totals)
    assert (family["V3"].size, family["V3"].status, family["V3"].lesion_count) == (None, "missing", None)
    assert family["V4"].change_percent == pytest.approx(0, abs=1)
    assert (family["V1"].lesion_count, family["V2"].lesion_count, family["V4"].lesion_count) == (2, 1, 2)
    assert [family[v].progressed for v in ("V1", "V2", "V3", "V4")] == [False, True, None, False]
    gone = courses["L01"]["V2"]
    assert (gone.size, gone.lesion_count, gone.best_response_percent, gone.nadir) == (0, 0, -100, 0)
    fresh = courses["L05"]["V4"]
    assert (fresh.size_change, fresh.change_percent, fresh.progressed) == (0, 0, False)
    assert fresh.class_ml == {"ground_glass": fresh.size, "consolidation": 0}
    assert {row.course for row in history.trajectory} == {BURDEN}


def test_each_change_has_the_range_of_its_measurement_error(scene, settings):
    canvas = scene()
    scans = [
        canvas.visit("V1", 0, (HERE, 6), settings=PRECISE, scanner="A"),
        canvas.visit("V2", 30, (HERE, 6), settings=PRECISE, scanner="A"),
        canvas.visit("V3", 60, (HERE, 6), settings=PRECISE, scanner="B"),
        canvas.visit("V4", 90, settings=PRECISE, scanner="A"),
    ]
    limits = [(row.error_lower_percent, row.error_upper_percent) for row in track_patient(scans, PRECISE).trajectory]
    within, across = 1.96 * np.sqrt(2) * 0.1, 1.96 * np.sqrt(2) * 0.3
    assert limits[0] == limits[3] == (None, None)
    assert limits[1] == pytest.approx((100 * np.expm1(-within), 100 * np.expm1(within)), rel=1e-3)
    assert limits[2] == pytest.approx((100 * np.expm1(-across), 100 * np.expm1(across)), rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "flag"),
    [
        ({"scanner": "B soft"}, "scanner_changed"),
        ({"scanner": "A sharp"}, "scanner_changed"),  # the same scanner, another kernel
        ({"scanner": ""}, None),  # unknown: taken for the same
        ({}, None),
    ],
)
def test_another_scanner_or_kernel_widens_the_bands_and_is_flagged(scene, changed, flag):
    canvas = scene()
    scans = [canvas.visit(f"V{n}", 30 * n, (HERE, 6), (THERE, 5), settings=PRECISE, scanner="A soft") for n in range(3)]
    scans[1] = replace(scans[1], **changed)
    history = track_patient(scans, PRECISE)
    widths = {}
    for row in (*history.trajectory, *history.courses):
        widths.setdefault(row.course, []).append(np.log(row.size_upper / row.size_lower))
    factor = 1.0 if flag is None else 3.0  # 0.3 across scanners, 0.1 within one
    assert len(widths) == 3
    for before, there, after in widths.values():
        assert there == pytest.approx(factor * before, rel=1e-6)
        assert after == pytest.approx(before, rel=1e-6)
    limits = [burden_limits(scan, PRECISE, scans[0]) for scan in scans]
    bands = [np.log(one["burden_upper_ml"] / one["burden_lower_ml"]) for one in limits]
    assert bands == pytest.approx(widths[BURDEN])
    flags = comparison_flags(scans, history, PRECISE)
    assert flags["V0"] == ()
    assert all(flags[visit] == (() if flag is None else (flag,)) for visit in ("V1", "V2"))


def test_lesions_that_all_moved_show_a_drift_and_a_lone_one_does_not(scene, known_alignment):
    canvas, balls = scene(), [((x, y, 30.0), 4.0) for x in (12.0, 30.0, 48.0) for y in (15.0, 45.0)]
    moved = [((x + 3.0, y, z), r) for (x, y, z), r in balls]
    scans = [canvas.visit("V1", 0, *balls, settings=PRECISE), canvas.visit("V2", 30, *moved, settings=PRECISE)]
    history = track_patient(scans, PRECISE)
    assert history.trajectory[1].lesion_shift_mm == pytest.approx(3.0, abs=0.1)
    assert comparison_flags(scans, history, PRECISE)["V2"] == ("lesions_shifted",)
    still = track_patient([scans[0], canvas.visit("V2", 30, *balls, settings=PRECISE)], PRECISE)
    assert still.trajectory[1].lesion_shift_mm == 0
    few = [canvas.visit("V1", 0, *balls[:2], settings=PRECISE), canvas.visit("V2", 30, *moved[:2], settings=PRECISE)]
    assert track_patient(few, PRECISE).trajectory[1].lesion_shift_mm is None
