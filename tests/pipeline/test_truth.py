"""Half of the sample trial against the simulator's truth: burdens and identities by the shipped network's own masks."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trialscan

SAMPLE = Path(__file__).parents[2] / "sample_manifests" / "sample_trial.yaml"
NEAR_MM = 20.0


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("truth")
    half = SAMPLE.read_text(encoding="utf-8").replace("patients: 6", "patients: 3")
    (root / "design.yaml").write_text(half, encoding="utf-8")
    manifest = trialscan.simulate(root / "design.yaml", root / "trial")
    trialscan.run(manifest, "covid_lung_ct", root / "run", arms=manifest.parent / "arms.csv", jobs=os.cpu_count())
    return root


def _found_at(lesions: pd.DataFrame, truth: pd.Series) -> str | None:
    """The identity of the lesion found nearest to a true one, both in the baseline's coordinates (LPS mm)."""
    here = lesions[(lesions["patient_id"] == truth["patient_id"]) & (lesions["visit"] == truth["visit"])]
    here = here[here["volume_ml"] > 0]
    if here.empty:
        return None
    centroids = here[[f"centroid_{axis}_mm" for axis in "xyz"]].to_numpy(float)
    true = truth[[f"baseline_{axis}_mm" for axis in "xyz"]].to_numpy(float)
    distance = np.linalg.norm(centroids - true, axis=1)
    nearest = int(np.nanargmin(distance))
    return str(here["lesion_id"].iloc[nearest]) if distance[nearest] < NEAR_MM else None


def test_nine_of_ten_lesions_keep_one_identity_over_three_visits(trial: Path):
    found = pd.read_csv(trial / "run" / "tables" / "lesions.csv")
    truth = pd.read_csv(trial / "trial" / "truth" / "lesions.csv")
    truth = truth[truth["volume_ml"] > 0]
    identities = truth.assign(found=[_found_at(found, row) for _, row in truth.iterrows()])
    kept = identities.groupby(["patient_id", "lesion_id"])["found"].agg(
        lambda ids: ids.nunique() == 1 and ids.notna().all()
    )
    assert kept.mean() >= 0.90, identities[~identities.set_index(["patient_id", "lesion_id"]).index.map(kept)]


def test_burdens_are_unbiased_and_most_within_a_fifth(trial: Path):
    found = pd.read_csv(trial / "run" / "tables" / "scans.csv")
    truth = pd.read_csv(trial / "trial" / "truth" / "burden.csv")
    both = found.merge(truth, on=["patient_id", "visit"], suffixes=("", "_true"))
    ratio = both["burden_ml"] / both["burden_ml_true"]
    assert len(both) == len(truth)
    assert 0.9 <= ratio.mean() <= 1.1, ratio.describe()
    assert (abs(ratio - 1) <= 0.20).mean() >= 0.80, ratio.describe()
