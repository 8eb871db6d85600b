import pytest

from trialscan.lesions import VisitFindings, track_patient

HERE = (30.0, 30.0, 30.0)


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
