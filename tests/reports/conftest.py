"""A finished run folder made up for the reports: plausible tables, pictures and JSON, no real computation."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from trialscan.statistics import compare_arms, plan_from
from trialscan.study import Protocol, dump_protocol

CLASSES = ("ground_glass", "consolidation")
DIGEST = "0123456789abcdef" * 4


@dataclass(frozen=True)
class RunSpec:
    """What the made-up run holds."""

    patients: Sequence[str] = tuple(f"P{n:03d}" for n in range(1, 4))
    visits: Sequence[tuple[str, int]] = (("BL", 0), ("W04", 28), ("W12", 84))
    arms: Sequence[str] = ("Placebozine", "Verumab")
    failed: frozenset[tuple[str, str]] = frozenset()
    missing: frozenset[tuple[str, str]] = frozenset()
    spacing_known: bool = True
    lesions: bool = True
    organ: bool = True
    pictures: bool = True
    compared: bool = False
    analysis: dict[str, Any] = field(default_factory=dict)
    data_cutoff: date | None = date(2024, 6, 30)
    title: str = "Lung lesions under Verumab-blind therapy"
    messages: str = "scan.nii.gz: truncated; expected 512 slices. Copy it again."
    flags: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


@pytest.fixture(scope="session")
def build() -> Callable[..., Path]:
    """Write a run folder into a path, as described by keyword arguments of RunSpec."""
    return lambda path, **settings: build_run(path, RunSpec(**settings))


@pytest.fixture
def make_run(tmp_path: Path, build: Callable[..., Path]) -> Callable[..., Path]:
    """The same into a fresh folder of the test."""
    return lambda **settings: build(tmp_path / f"run{len(list(tmp_path.iterdir()))}", **settings)


def build_run(root: Path, spec: RunSpec) -> Path:
    rng = np.random.default_rng(20240630)
    scans, lesions = [], []
    for patient in spec.patients:
        rows, cells = _patient(root, spec, patient, rng)
        scans += rows
        lesions += cells
    tables = root / "tables"
    tables.mkdir(parents=True)
    pd.DataFrame(scans).to_csv(tables / "scans.csv", index=False)
    courses = [_course(row) for row in scans if row["status"] == "ok"]
    pd.DataFrame(courses, columns=list(_course({}))).to_csv(tables / "trajectories.csv", index=False)
    columns = list(_lesion_row("", ("", 0), "", 0.0, 0.0, "", None, spec))
    pd.DataFrame(lesions, columns=columns).to_csv(tables / "lesions.csv", index=False)
    (root / "protocol.lock.yaml").write_text(dump_protocol(_protocol(spec)), encoding="utf-8")
    facts = {
        "status": "running",
        "protocol_sha256": DIGEST,
        "manifest_sha256": DIGEST,
        "software": {"trialscan": "0.1.0", "python": "3.11.9"},
    }
    (root / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    _analysis(root, spec, scans)
    return root


def _course(scan: Mapping[str, Any]) -> dict[str, Any]:
    later = not scan.get("is_baseline")
    return {
        "patient_id": scan.get("patient_id"),
        "course": "burden",
        "visit": scan.get("visit"),
        "error_lower_percent": -12.0 if later else None,
        "error_upper_percent": 14.0 if later else None,
    }


def _protocol(spec: RunSpec) -> Protocol:
    schedule = [{"visit": name, "day": day, "window_days": [-3, 3] if day else [0, 0]} for name, day in spec.visits]
    return Protocol.model_validate(
        {
            "study": {"id": "TS-001", "title": spec.title, "modality": "CT", "data_cutoff": spec.data_cutoff},
            "visits": {"schedule": schedule},
            "segmentation": {
                "model": "thorax_ct",
                "organ_name": "lungs",
                "lesion_labels": {2: "ground_glass", 3: "consolidation"},
                "reader_lesion_labels": {1: "ground_glass", 2: "consolidation"},
                "units": "HU",
            },
            "endpoints": {
                "primary": {"measure": "burden_ml" if spec.spacing_known else "burden_percent"},
                "secondary": [{"measure": "consolidation_percent", "transform": "none"}],
            },
            "analysis": {
                "covariates": ["age", "sex"],
                "reference_arm": spec.arms[0] if spec.arms else None,
                **spec.analysis,
            },
            "report": {"window": [-600, 1500]},
        }
    )


def _patient(
    root: Path, spec: RunSpec, patient: str, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    number = list(spec.patients).index(patient)
    slope = -0.012 if number % 2 else -0.002
    start = rng.uniform(40, 220)
    rows, cells, trajectory, seen = [], [], [], []
    for visit, day in spec.visits:
        status = (
            "failed" if (patient, visit) in spec.failed else "missing" if (patient, visit) in spec.missing else "ok"
        )
        total = start * np.exp(slope * day + rng.normal(0, 0.08)) if spec.lesions else 0.0
        rows.append(_scan_row(spec, patient, (visit, day), status, total))
        if status != "ok":
            continue
        change = None if not seen else 100 * (total - seen[0]) / seen[0] if seen[0] else None
        trajectory.append({"course": "burden", "visit": visit, "status": status, "change_percent": change})
        found = _lesions(spec, patient, (visit, day), total, first=not seen)
        cells += found
        seen.append(total)
        _visit_files(root / "patients" / patient / visit, spec, (visit, day), len(seen), total / start)
    (root / "patients" / patient).mkdir(parents=True, exist_ok=True)
    history = {"scans": [], "lesions": [], "trajectory": trajectory}
    (root / "patients" / patient / "history.json").write_text(json.dumps(history), encoding="utf-8")
    return rows, cells


def _scan_row(spec: RunSpec, patient: str, visit: tuple[str, int], status: str, total: float) -> dict[str, Any]:
    ok, known = status == "ok", spec.spacing_known
    organ = 4200.0
    percent = 100 * total / organ if ok and spec.organ else None
    first = visit[0] == spec.visits[0][0]
    flags = (status,) if not ok else spec.flags.get((patient, visit[0]), ())
    row = {
        "patient_id": patient,
        "visit": visit[0],
        "study_day": None if status == "missing" else visit[1],
        "is_baseline": first and status != "missing",
        "in_window": None if status == "missing" else True,
        "burden_ml": total if ok and known else None,
        "organ_ml": organ if ok and known and spec.organ else None,
        "burden_percent": percent,
    }
    for name, share in zip(CLASSES, (0.7, 0.3), strict=True):
        row[f"{name}_ml"] = total * share if ok and known else None
        row[f"{name}_percent"] = None if percent is None else percent * share
    return row | {
        "lesion_count": (4 if spec.lesions else 0) if ok else None,
        "organ_source": ("model" if spec.organ else "none") if ok else None,
        "lesion_source": "reader" if ok and first else "model" if ok else None,
        "alignment_status": "pass" if ok and not first and known else None,
        "alignment_rung": "deformable" if ok and not first and known else None,
        "status": status,
        "flags": ";".join(flags),
        "message": spec.messages if status == "failed" else None,
        "image_sha256": DIGEST if status != "missing" else None,
        "organ_sha256": DIGEST if ok and spec.organ else None,
        "lesion_sha256": DIGEST if ok else None,
        "model": "thorax_ct" if ok else None,
        "model_sha256": DIGEST if ok else None,
        "burden_lower_ml": total * 0.85 if ok and known and total else None,
        "burden_upper_ml": total * 1.18 if ok and known and total else None,
        "burden_lower_percent": percent * 0.85 if percent else None,
        "burden_upper_percent": percent * 1.18 if percent else None,
    }


def _lesions(spec: RunSpec, patient: str, visit: tuple[str, int], total: float, *, first: bool) -> list[dict[str, Any]]:
    if not spec.lesions:
        return []
    plan = [("L01", 0.5, None, None), ("L02", 0.3, None, None), ("L03", 0.2, None, None)]
    if not first:
        plan = [
            ("L01", 0.6, "growing", 41.2),
            ("L02", 0.4, "stable", -4.0),
            ("L03", 0.0, "resolved", -100.0),
            ("L04", 0.1, "new", None),
        ]
    return [
        _lesion_row(patient, visit, name, total * share, share, change or "", pct, spec)
        for name, share, change, pct in plan
    ]


def _lesion_row(
    patient: str,
    visit: tuple[str, int],
    name: str,
    volume: float,
    share: float,
    change: str,
    percent: float | None,
    spec: RunSpec,
) -> dict[str, Any]:
    return {
        "patient_id": patient,
        "visit": visit[0],
        "study_day": visit[1],
        "lesion_id": name,
        "family": name.replace("L", "F"),
        "class_name": CLASSES[name in {"L02", "L03"}],
        "volume_ml": volume if spec.spacing_known else None,
        "organ_percent": volume / 42,
        "longest_diameter_mm": 31.5 if spec.spacing_known else None,
        "mean_intensity": -420.0,
        "centroid_x_mm": 12.5,
        "centroid_y_mm": -40.25,
        "centroid_z_mm": 110.0 + share,
        "change": change,
        "change_percent": percent,
        "predecessors": name if change in {"growing", "stable", "resolved"} else "",
        "note": "",
    }


def _visit_files(folder: Path, spec: RunSpec, visit: tuple[str, int], nth: int, size: float) -> None:
    folder.mkdir(parents=True)
    segmentation = {"quality": {"lesion_probability": 0.962, "slice_thickness_mm": 2.5}, "flags": []}
    registration = {
        "status": "pass",
        "rung": "deformable",
        "quality": {"organ_dice_before": 0.81, "organ_dice_after": 0.97},
    }
    quality = {"segmentation": segmentation, "registration": registration if nth > 1 else None, "flags": []}
    (folder / "quality.json").write_text(json.dumps(quality), encoding="utf-8")
    if not spec.pictures:
        return
    grey, organ, lesions = draw_thorax(size if spec.lesions else 0.0)
    Image.fromarray(grey).save(folder / "panel.png")
    Image.fromarray(lesions).save(folder / "panel_lesions.png")
    if spec.organ:
        Image.fromarray(organ).save(folder / "panel_organ.png")
    known = spec.spacing_known
    facts = {
        "visit": visit[0],
        "study_day": visit[1],
        "spacing_mm": 1.4 if known else None,
        "orientation": {"left": "R", "right": "L", "top": "A", "bottom": "P"} if known else None,
        "slice_center_mm": [0.0, 0.0, 110.0] if known else None,
        "chosen_by": "lesion area" if known else "whole image",
        "slice": "baseline" if known else "own",
        "resampled": known and nth > 1,
        "window": [-600.0, 1500.0],
        "units": "HU",
    }
    (folder / "panel.json").write_text(json.dumps(facts), encoding="utf-8")


def draw_thorax(size: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """A cartoon of an axial thorax: grey levels, organ mask and class mask, rows × columns."""
    rows, columns = np.mgrid[0:180, 0:240]

    def ellipse(row: float, column: float, height: float, width: float) -> NDArray[np.bool_]:
        return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1

    body = ellipse(92, 120, 86, 116)
    organ = ellipse(88, 68, 62, 42) | ellipse(88, 172, 62, 42)
    grey = np.where(organ, 45, np.where(body, 165, 0))
    lesions = np.zeros(grey.shape, dtype=np.uint8)
    radius = 22 * np.sqrt(max(size, 0.0))
    if radius > 0:
        lesions[ellipse(110, 66, radius, radius * 1.3)] = 1
        lesions[ellipse(118, 70, radius * 0.5, radius * 0.5)] = 2
        lesions[ellipse(70, 180, radius * 0.6, radius * 0.5)] = 1
    lesions[~organ] = 0
    grey = grey + 45 * (lesions == 1) + 100 * (lesions == 2)
    noise = np.random.default_rng(7).normal(0, 6, grey.shape)
    return np.clip(grey + noise, 0, 255).astype(np.uint8), organ.astype(np.uint8), lesions


def _analysis(root: Path, spec: RunSpec, scans: Sequence[dict[str, Any]]) -> None:
    primary = (
        ("BURDENML", "Burden (ml)", "burden_ml") if spec.spacing_known else ("BURDENPC", "Burden (%)", "burden_percent")
    )
    secondary = ("CNSLDTPC", "Consolidation (%)", "consolidation_percent")
    rows = [
        _analysis_row(spec, scans, row, parameter)
        for parameter in (primary, secondary)
        for row in scans
        if row["status"] != "missing"
    ]
    table = pd.DataFrame(rows)
    table.to_csv(root / "tables" / "analysis.csv", index=False)
    if not spec.compared:
        return
    protocol = _protocol(spec)
    plan = plan_from(protocol.endpoints, protocol.analysis, {primary[2]: primary[0], secondary[2]: secondary[0]})
    comparison = compare_arms(table, plan)
    (root / "statistics").mkdir()
    comparison.results.to_csv(root / "statistics" / "results.csv", index=False)
    comparison.residuals.to_csv(root / "statistics" / "residuals.csv", index=False)
    (root / "statistics" / "models.json").write_text(comparison.models_json(), encoding="utf-8")


def _analysis_row(
    spec: RunSpec, scans: Sequence[dict[str, Any]], row: dict[str, Any], parameter: tuple[str, str, str]
) -> dict[str, Any]:
    code, label, measure = parameter
    number = list(spec.patients).index(row["patient_id"])
    base = {other["patient_id"]: other[measure] for other in scans if other["is_baseline"]}
    return {
        "STUDYID": "TS-001",
        "USUBJID": row["patient_id"],
        "TRT01P": spec.arms[number % len(spec.arms)] if spec.arms else None,
        "PARAMCD": code,
        "PARAM": label,
        "AVISIT": row["visit"],
        "AVISITN": [name for name, _ in spec.visits].index(row["visit"]),
        "ADY": row["study_day"],
        "AVAL": row[measure],
        "BASE": base.get(row["patient_id"]),
        "PCHG": _percent_change(row[measure], base.get(row["patient_id"]), at_baseline=row["is_baseline"]),
        "ABLFL": "Y" if row["is_baseline"] else None,
        "ANL01FL": "Y" if row[measure] is not None else None,
        "AGE": 40 + (7 * number) % 31,
        "SEX": "F" if (number // len(spec.arms or "-")) % 3 else "M",
    }


def _percent_change(value: float | None, base: float | None, *, at_baseline: bool) -> float | None:
    return None if value is None or at_baseline or not base else 100 * (value - base) / base
