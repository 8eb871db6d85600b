"""One simulated patient's course: visits attended, burden at each, and what every lesion does between them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.phantom.deformation import Deformation
from trialscan.phantom.design import TrialDesign
from trialscan.phantom.lesions import lesion_sites
from trialscan.phantom.spec import LesionSpec, ScannerSpec, ThoraxSpec

GAP_MM = 14.0
ANATOMY, COURSE, SCANS = 31, 32, 33


@dataclass(frozen=True)
class LesionCourse:
    """One seed of disease: its fixed place and shape, and its weight in the burden at each visit, 0 if absent.

    Seeds that grow into each other are one lesion while they touch.
    """

    spec: LesionSpec
    weights: tuple[float, ...]


@dataclass(frozen=True)
class PatientPlan:
    """Everything about a patient that is decided before a voxel is drawn; one entry a visit of the design.

    log_burden : designed log(1 + burden in ml). attended : whether there is a scan.
    """

    patient_id: str
    arm: str
    covariates: Mapping[str, str]
    intercept: float
    slope_per_day: float
    log_burden: tuple[float, ...]
    attended: tuple[bool, ...]
    anatomy: ThoraxSpec
    lesions: tuple[LesionCourse, ...]
    deformations: tuple[Deformation, ...]
    scanners: tuple[ScannerSpec, ...]
    noise_seeds: tuple[int, ...]


def allocate(design: TrialDesign) -> dict[str, str]:
    """Arm of every patient, in random order."""
    arms = [name for name, arm in design.arms.items() for _ in range(arm.patients)]
    order = np.random.default_rng([design.seed, 30]).permutation(len(arms))
    return {patient: arms[n] for patient, n in zip(design.patient_ids, order, strict=True)}


def plan_patient(design: TrialDesign, patient_id: str) -> PatientPlan:
    """Draw one patient; depends on the design and the patient's number alone, not on who else is drawn."""
    number = design.patient_ids.index(patient_id)
    anatomy_rng, rng, scan_rng = (np.random.default_rng([design.seed, s, number]) for s in (ANATOMY, COURSE, SCANS))
    arm = allocate(design)[patient_id]
    days = np.array(list(design.visits.values()), dtype=np.float64)
    burden = design.burden
    intercept = burden.mean + rng.normal(0, 1) * burden.intercept_sd
    slope = design.arms[arm].slope_per_day + rng.normal(0, 1) * burden.slope_sd_per_day
    log_burden = np.clip(intercept + slope * days + rng.normal(0, 1, len(days)) * burden.visit_sd, 1.0, 6.7)
    anatomy = ThoraxSpec.random(anatomy_rng)
    return PatientPlan(
        patient_id,
        arm,
        _covariates(design, rng),
        float(intercept),
        float(slope),
        tuple(log_burden.tolist()),
        _attendance(design, patient_id, rng),
        anatomy,
        _courses(design, anatomy, np.expm1(log_burden), rng),
        tuple(_pose(design, scan_rng) for _ in days),
        _scanners(design, scan_rng),
        tuple(int(scan_rng.integers(2**31)) for _ in days),
    )


def _covariates(design: TrialDesign, rng: np.random.Generator) -> dict[str, str]:
    wanted = design.covariates
    return {
        "age": str(int(rng.integers(wanted.age_years[0], wanted.age_years[1] + 1))),
        "sex": "F" if rng.random() < wanted.female_share else "M",
        "site": str(rng.choice(wanted.sites)),
    }


def _attendance(design: TrialDesign, patient_id: str, rng: np.random.Generator) -> tuple[bool, ...]:
    """The first visit always happens; later ones may be missed singly, or all from one on."""
    missed = {(m.patient, m.visit) for m in design.missed}
    attended, gone = [], False
    for number, visit in enumerate(design.visits):
        leaves, skips = rng.random(2) < (design.drop_out_share, design.missing_share)
        gone = gone or (number > 0 and bool(leaves))
        attended.append((patient_id, visit) not in missed and not gone and not (number > 0 and skips))
    return tuple(attended)


def _pose(design: TrialDesign, rng: np.random.Generator) -> Deformation:
    scans = design.scans
    turn, shift = rng.normal(0, scans.rotation_sd_deg, 3).tolist(), rng.normal(0, scans.shift_sd_mm, 3).tolist()
    breathing = float(np.clip(rng.normal(0, 1) * scans.breathing_sd, -1, 1))
    return Deformation(breathing, rotation_deg=(turn[0], turn[1], turn[2]), shift_mm=(shift[0], shift[1], shift[2]))


def _scanners(design: TrialDesign, rng: np.random.Generator) -> tuple[ScannerSpec, ...]:
    one = ScannerSpec.random(rng)
    if design.scans.scanner == "same":
        return (one,) * len(design.visits)
    return tuple(ScannerSpec.random(rng) for _ in design.visits)


def _courses(
    design: TrialDesign, anatomy: ThoraxSpec, burden_ml: NDArray[np.float64], rng: np.random.Generator
) -> tuple[LesionCourse, ...]:
    """Draw the seeds of disease, then place them so that only those meant to meet do."""
    wanted, visits = design.lesions, len(burden_ml)
    count = int(rng.integers(wanted.count[0], wanted.count[1] + 1))
    dice = rng.random(3)
    meets = dice[0] < wanted.merge_share
    pair = 1 if meets else -1 if dice[0] < wanted.merge_share + wanted.split_share else 0
    weights = _base_weights(count + 2 * abs(pair), visits, rng)
    if pair and visits > 1:
        course = np.exp(1.1 * pair * (2 * np.arange(visits) / (visits - 1) - 1))
        weights[:2] = weights.mean() * rng.uniform(0.5, 1.0) * course
    if dice[1] < wanted.new_share and visits > 1:
        late = rng.uniform(0.25, 0.6, visits) * weights.mean()
        late[: int(rng.integers(1, visits))] = 0
        weights = np.vstack([weights, late])
    if dice[2] < wanted.resolved_share and visits > 1:
        gone = rng.uniform(0.1, 0.35, visits) * weights.mean()
        gone[int(rng.integers(1, visits)) :] = 0
        weights = np.vstack([weights, gone])
    volumes = weights / weights.sum(axis=0) * burden_ml
    radii = np.cbrt(3000 * volumes / (4 * np.pi))
    centers = _placed(anatomy, radii, pair, rng)
    return tuple(
        LesionCourse(_seed_spec(design, n, centers[n], radii[n].max(), rng), tuple(weights[n].tolist()))
        for n in range(len(centers))
    )


def _base_weights(count: int, visits: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Log-normal sizes that drift apart slowly: (lesions, visits)."""
    start = rng.normal(0, 0.45, (count, 1))
    drift = rng.normal(0, 0.12, (count, 1)) * np.arange(visits)
    weights: NDArray[np.float64] = np.exp(start + drift)
    return weights


def _placed(
    anatomy: ThoraxSpec, radii: NDArray[np.float64], pair: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Centres far enough apart at every visit; the first two near each other where they are to meet (pair not 0)."""
    sites = lesion_sites(anatomy, rng, 600)
    reach = radii.max(axis=1)
    centers: list[NDArray[np.float64]] = []
    for n, own in enumerate(reach):
        others = np.array(centers).reshape(-1, 3)
        room = np.linalg.norm(sites[:, None] - others, axis=2) - 1.25 * (own + reach[:n]) - GAP_MM
        if pair and n == 1:
            sums = radii[0] + radii[1]
            distance = np.linalg.norm(sites - centers[0], axis=1)
            room[:, 0] = -np.abs(distance - 0.5 * (sums.min() + sums.max()))
            room[np.sign(sites[:, 0]) != np.sign(centers[0][0]), 0] = -1e3
        centers.append(sites[int(np.argmax(np.minimum(room, 0).sum(axis=1)))])
    return np.array(centers)


def _seed_spec(
    design: TrialDesign, number: int, center: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> LesionSpec:
    glass, mixed = design.lesions.ground_glass_share, design.lesions.mixed_share
    kind = str(rng.choice(["ground_glass", "mixed", "consolidation"], p=[glass, mixed, 1 - glass - mixed]))
    x, y, z = center.tolist()
    shape, flat, density = int(rng.integers(2**31)), float(rng.uniform(0, 1.5)), float(rng.uniform(0.2, 1))
    return LesionSpec(number + 1, kind, (x, y, z), float(radius), shape, flat, density)
