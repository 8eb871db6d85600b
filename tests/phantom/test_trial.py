import csv
import json
from collections import defaultdict

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import ndimage

from trialscan.cli.simulate import simulate
from trialscan.errors import UsageError
from trialscan.imaging import Units, read_mask, read_volume
from trialscan.phantom import Deformation, TrialDesign, simulate_trial

DESIGN = {
    "title": "Three visits",
    "seed": 4,
    "arms": {"active": {"patients": 2, "slope_per_day": -0.03}, "control": {"patients": 2, "slope_per_day": 0.0}},
    "visits": {"D0": 0, "D14": 14, "D28": 28},
    "lesions": {"count": (2, 3), "new_share": 1.0, "resolved_share": 0.5, "merge_share": 0.5, "split_share": 0.5},
    "scans": {"spacing_mm": (5.0, 5.0, 5.0)},
    "missed": [{"patient": "P003", "visit": "D14"}],
}


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    out = tmp_path_factory.mktemp("trial")
    simulate_trial(TrialDesign.model_validate(DESIGN), out)
    return out


def test_any_number_of_jobs_gives_the_same_bytes(trial, tmp_path):
    told = []
    design = TrialDesign.model_validate(DESIGN)
    simulate_trial(design, tmp_path / "two", jobs=2, progress=lambda done, total: told.append((done, total)))
    assert files(trial) == files(tmp_path / "two")
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_manifest_lists_attended_visits_and_is_blind(trial):
    manifest = rows(trial / "manifest.csv")
    assert len(manifest) == 11
    assert ("P003", "D14") not in {(row["patient_id"], row["visit"]) for row in manifest}
    assert list(manifest[0]) == ["patient_id", "visit", "study_day", "scan", "age", "sex", "site"]
    assert all((trial / row["scan"]).is_file() for row in manifest)


def test_arms_are_as_large_as_designed(trial):
    arms = [row["arm"] for row in rows(trial / "arms.csv")]
    assert sorted(arms) == ["active", "active", "control", "control"]


def test_voxels_follow_the_designed_burden(trial):
    for row in rows(trial / "truth" / "burden.csv"):
        designed_ml = np.expm1(float(row["designed_log1p_burden"]))
        assert float(row["burden_ml"]) == pytest.approx(designed_ml, rel=0.01)
        mask = read_mask(trial / "truth" / "lesions" / row["patient_id"] / f"{row['visit']}.nii.gz")
        assert np.count_nonzero(mask.array) * mask.voxel_ml == pytest.approx(float(row["burden_ml"]))
        assert float(row["ground_glass_ml"]) + float(row["consolidation_ml"]) == pytest.approx(float(row["burden_ml"]))


def test_slopes_of_patients_scatter_about_their_arms(trial):
    truth = json.loads((trial / "truth" / "trial.json").read_text(encoding="utf-8"))
    assert truth["slope_difference_per_day"] == {"control": pytest.approx(0.03)}
    days, logs = defaultdict(list), defaultdict(list)
    for row in rows(trial / "truth" / "burden.csv"):
        days[row["patient_id"]].append(float(row["study_day"]))
        logs[row["patient_id"]].append(float(row["log1p_burden"]))
    for row in rows(trial / "truth" / "patients.csv"):
        slope = np.polyfit(days[row["patient_id"]], logs[row["patient_id"]], 1)[0]
        assert slope == pytest.approx(float(row["slope_per_day"]), abs=0.006)
        assert float(row["slope_per_day"]) == pytest.approx(truth["slope_per_day"][row["arm"]], abs=0.008)


def test_lesion_rows_add_up_to_the_burden_and_match_the_components(trial):
    total = defaultdict(float)
    for row in rows(trial / "truth" / "lesions.csv"):
        total[row["patient_id"], row["visit"]] += float(row["volume_ml"])
        if row["event"] == "resolved":
            continue
        mask = read_mask(trial / "truth" / "components" / row["patient_id"] / f"{row['visit']}.nii.gz")
        inside = mask.array == int(row["label"])
        assert ndimage.label(inside, structure=np.ones((3, 3, 3)))[1] == 1
        assert float(row["volume_ml"]) == pytest.approx(inside.sum() * mask.voxel_ml)
    for row in rows(trial / "truth" / "burden.csv"):
        assert total[row["patient_id"], row["visit"]] == pytest.approx(float(row["burden_ml"]))


def test_a_lesion_stays_in_place_in_baseline_coordinates(trial):
    seen = defaultdict(list)
    for row in rows(trial / "truth" / "lesions.csv"):
        if row["event"] in {"baseline", "continued"}:
            place = [float(row[f"baseline_{axis}_mm"]) for axis in "xyz"]
            seen[row["patient_id"], row["lesion_id"]].append(place)
    tracked = [np.array(places) for places in seen.values() if len(places) > 1]
    assert tracked
    assert np.median([np.linalg.norm(np.ptp(places, axis=0)) for places in tracked]) < 5


def test_deformations_lead_from_the_baseline_to_the_follow_up(trial):
    stored = json.loads((trial / "truth" / "deformations.json").read_text(encoding="utf-8"))

    def deformation(patient, visit):
        values = stored[patient][visit].items()
        return Deformation(**{name: tuple(v) if isinstance(v, list) else v for name, v in values})

    for row in rows(trial / "truth" / "lesions.csv"):
        if row["event"] == "resolved":
            continue
        home = np.array([[float(row[f"baseline_{axis}_mm"]) for axis in "xyz"]])
        here = np.array([float(row[f"native_{axis}_mm"]) for axis in "xyz"])
        reference = deformation(row["patient_id"], "D0").to_reference(home)
        assert deformation(row["patient_id"], row["visit"]).to_scan(reference)[0] == pytest.approx(here, abs=1e-5)


def test_scans_read_back_as_ct(trial):
    scan = read_volume(trial / rows(trial / "manifest.csv")[0]["scan"], Units.HU)
    organ = read_mask(trial / "truth" / "organ" / "P001" / "D0.nii.gz", scan)
    assert -1000 < np.median(scan.array[organ.array > 0]) < -600


def test_a_used_folder_is_refused(trial):
    with pytest.raises(UsageError, match="not empty"):
        simulate_trial(TrialDesign.model_validate(DESIGN), trial)


def test_the_command_writes_a_trial(tmp_path):
    design = tmp_path / "design.yaml"
    design.write_text(
        "arms: {a: {patients: 1, slope_per_day: 0.0}}\nvisits: {V: 0}\nscans: {spacing_mm: [6, 6, 6]}\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    result = CliRunner().invoke(simulate, [str(design), "--out", str(out), "--jobs", "1", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"manifest": str(out / "manifest.csv"), "patients": 1}
    assert (out / "manifest.csv").is_file()
