"""No alignment touches what is counted: burdens and every native measure are the same whichever engine ran, or none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from trialscan.pipeline.run import RunRequest, run_trial

WAYS = {
    "none": "{method: none}",
    "rigid": "{method: rigid, engine: simpleitk, spacing_mm: 8}",
    "deformable": "{method: deformable, engine: simpleitk, spacing_mm: 8}",
    "torch": "{method: deformable, engine: torch, spacing_mm: 8}",
    "ants": "{method: affine, engine: ants, spacing_mm: 8}",
}
MEASURED = ["burden_ml", "burden_percent", "organ_ml", "ground_glass_ml", "consolidation_ml", "lesion_count"]


def _tracked(manifest: Path, way: str, out: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    lines = (manifest.parent / "protocol.yaml").read_text().splitlines(keepends=True)
    text = "".join(f"registration: {WAYS[way]}\n" if line.startswith("registration") else line for line in lines)
    protocol = manifest.parent / f"{way}.yaml"
    protocol.write_text(text)
    assert run_trial(RunRequest(manifest, protocol, out, reports=False)).status == "complete"
    scans = pd.read_csv(out / "tables" / "scans.csv", index_col=["patient_id", "visit"])
    paths = sorted((out / "patients").glob("*/*/measures.json"))
    return scans, {str(path.relative_to(out)): json.loads(path.read_text()) for path in paths}


def test_burdens_are_identical_whichever_engine_aligned_the_scans(new_trial: Callable[[int], Path], tmp_path: Path):
    manifest = new_trial(1)
    found = {way: _tracked(manifest, way, tmp_path / way) for way in WAYS}
    scans, measures = found["none"]
    assert len(measures) == 2
    assert scans["alignment_rung"].isna().all() or set(scans["alignment_rung"].dropna()) == {"none"}
    rungs = {way: set(other["alignment_rung"].dropna()) for way, (other, _) in found.items()}
    assert len({frozenset(names) for names in rungs.values()}) > 1, "the ways are meant to differ"
    for other, held in found.values():
        assert held == measures
        pd.testing.assert_frame_equal(other[MEASURED], scans[MEASURED], check_exact=True)
