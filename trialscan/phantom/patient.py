"""All scans of one simulated patient, written with their masks; the rows of truth handed back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trialscan.imaging import Units, Volume, write_volume
from trialscan.phantom.courses import PatientPlan, plan_patient
from trialscan.phantom.deformation import Deformation
from trialscan.phantom.design import TrialDesign
from trialscan.phantom.sizing import fit_radii
from trialscan.phantom.spec import CONSOLIDATION, GROUND_GLASS
from trialscan.phantom.thorax import REACH, Phantom, render, set_stage, whole_thorax
from trialscan.phantom.truth import NamedLesion, SeenLesion, connected_lesions, name_lesions

Row = Mapping[str, Any]
REACH_MARGIN_MM = 16.0


@dataclass(frozen=True)
class PatientTruth:
    """A patient's rows for each table of truth, and the parameters of each scan's deformation."""

    scans: tuple[Row, ...]
    burden: tuple[Row, ...]
    lesions: tuple[Row, ...]
    patient: Row
    deformations: Mapping[str, Any]


@dataclass(frozen=True)
class _Visit:
    """One scan as it was written."""

    visit: str
    day: int
    phantom: Phantom
    seen: tuple[SeenLesion, ...]
    log_burden: float


def simulate_patient(design: TrialDesign, patient_id: str, out: Path) -> PatientTruth:
    """Write every attended scan of a patient under `out` and tell the truth about it."""
    plan = plan_patient(design, patient_id)
    visits = [_simulate_visit(design, plan, number, out) for number, there in enumerate(plan.attended) if there]
    named = name_lesions([visit.seen for visit in visits])
    baseline = visits[0].phantom.deformation
    return PatientTruth(
        tuple(_scan_row(plan, visit) for visit in visits),
        tuple(_burden_row(plan, visit) for visit in visits),
        tuple(
            _lesion_row(plan, visit, lesion, baseline)
            for visit, lesions in zip(visits, named, strict=True)
            for lesion in lesions
        ),
        {
            "patient_id": plan.patient_id,
            "arm": plan.arm,
            "intercept": plan.intercept,
            "slope_per_day": plan.slope_per_day,
        },
        {visit.visit: dict(visit.phantom.deformation.parameters()) for visit in visits},
    )


def _simulate_visit(design: TrialDesign, plan: PatientPlan, number: int, out: Path) -> _Visit:
    """Size the lesions to the designed burden, draw the scan, write it with its masks."""
    grid = whole_thorax(plan.anatomy, design.scans.spacing_mm)
    stage = set_stage(plan.anatomy, grid, plan.deformations[number])
    burden_ml = float(np.expm1(plan.log_burden[number]))
    present = [course for course in plan.lesions if course.weights[number] > 0]
    total = sum(course.weights[number] for course in present)
    shares = [course.weights[number] / total * burden_ml for course in present]
    shapes = []
    for course, share in zip(present, shares, strict=True):
        radius = float(np.cbrt(3000 * share / (4 * np.pi)))
        shapes.append(stage.shape(replace(course.spec, radius_mm=radius), REACH * radius + REACH_MARGIN_MM))
    voxel_ml = float(np.prod(grid.spacing_mm)) / 1000
    shapes, radii = fit_radii(shapes, shares, voxel_ml, grid.shape)
    phantom = render(stage, shapes, radii, plan.scanners[number], plan.noise_seeds[number])
    seen, labels = connected_lesions(phantom.lesions.array > 0, shapes, radii)
    visit = list(design.visits)[number]
    stem = f"{plan.patient_id}/{visit}"
    _write(out / "scans" / f"{stem}.nii.gz", phantom.image)
    _write(out / "truth" / "organ" / f"{stem}.nii.gz", phantom.organ)
    _write(out / "truth" / "lesions" / f"{stem}.nii.gz", phantom.lesions)
    instances = phantom.instances.with_array(labels.astype(np.int16), Units.LABEL)
    _write(out / "truth" / "components" / f"{stem}.nii.gz", instances)
    return _Visit(visit, design.visits[visit], phantom, seen, plan.log_burden[number])


def _write(path: Path, volume: Volume) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, volume)


def _scan_row(plan: PatientPlan, visit: _Visit) -> Row:
    scan = f"scans/{plan.patient_id}/{visit.visit}.nii.gz"
    return {
        "patient_id": plan.patient_id,
        "visit": visit.visit,
        "study_day": visit.day,
        "scan": scan,
        **plan.covariates,
    }


def _burden_row(plan: PatientPlan, visit: _Visit) -> Row:
    classes, voxel_ml = visit.phantom.lesions.array, visit.phantom.lesions.voxel_ml
    burden_ml = float(np.count_nonzero(classes)) * voxel_ml
    return {
        "patient_id": plan.patient_id,
        "visit": visit.visit,
        "study_day": visit.day,
        "burden_ml": burden_ml,
        "ground_glass_ml": float(np.count_nonzero(classes == GROUND_GLASS)) * voxel_ml,
        "consolidation_ml": float(np.count_nonzero(classes == CONSOLIDATION)) * voxel_ml,
        "organ_ml": float(np.count_nonzero(visit.phantom.organ.array)) * voxel_ml,
        "log1p_burden": float(np.log1p(burden_ml)),
        "designed_log1p_burden": visit.log_burden,
    }


def _lesion_row(plan: PatientPlan, visit: _Visit, lesion: NamedLesion, baseline: Deformation) -> Row:
    """One lesion at one scan; a resolved one has no volume and no place."""
    row: dict[str, Any] = {
        "patient_id": plan.patient_id,
        "visit": visit.visit,
        "lesion_id": f"L{lesion.number:02d}",
        "event": lesion.event,
        "predecessors": ";".join(f"L{n:02d}" for n in lesion.predecessors),
        "label": "",
        "volume_ml": 0.0,
    }
    names = ("x", "y", "z")
    if lesion.seen is None:
        return row | {f"{frame}_{axis}_mm": "" for frame in ("native", "baseline") for axis in names}
    native = visit.phantom.image.to_world(np.array([lesion.seen.center_index]))
    home = baseline.to_scan(visit.phantom.deformation.to_reference(native))
    row |= {"label": lesion.seen.label, "volume_ml": lesion.seen.voxels * visit.phantom.lesions.voxel_ml}
    row |= {f"native_{axis}_mm": value for axis, value in zip(names, native[0].tolist(), strict=True)}
    return row | {f"baseline_{axis}_mm": value for axis, value in zip(names, home[0].tolist(), strict=True)}
