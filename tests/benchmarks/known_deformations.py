"""Alignment of simulated thoraces whose deformation is known: `python -m tests.benchmarks.known_deformations`.

    [--cases 0 1 …] [--spacing MM …] [--engine simpleitk]

Breathing goes both ways; lesions are in both scans, new, gone, grown or absent, and are left out by their true masks as
in a run. Errors are over the lungs of the baseline, and over the lesions of either scan. No test uses these seeds, so
that a choice of settings may rest on them.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trialscan.phantom import (
    Deformation,
    Grid,
    LesionSpec,
    Phantom,
    ScannerSpec,
    ThoraxSpec,
    random_lesions,
    simulate_thorax,
    whole_thorax,
)
from trialscan.registration import register
from trialscan.study.sections import RegistrationSettings

Floats = NDArray[np.float64]
FIRST_SEED = 77301
LESIONS, RADIUS_MM = 14, (5.0, 18.0)
MEDIASTINUM_MM = -22.0
EVERY = 37


@dataclass(frozen=True)
class Case:
    """Breathing of both scans, what becomes of the lesions, one lung or the whole thorax, voxels in mm."""

    breathing: tuple[float, float]
    lesions: Literal["both", "new", "gone", "grown", "none"]
    one_lung: bool
    voxel_mm: tuple[float, float, float]


CASES = (
    Case((0.5, -0.5), "both", True, (1.5, 1.5, 1.5)),
    Case((-0.6, 0.3), "new", True, (1.5, 1.5, 2.0)),
    Case((0.0, 0.9), "gone", True, (1.2, 1.2, 2.0)),
    Case((0.8, -0.2), "grown", True, (1.75, 1.75, 1.75)),
    Case((-0.8, 0.2), "both", False, (2.0, 2.0, 2.0)),
    Case((0.3, -0.9), "new", False, (1.8, 1.8, 3.0)),
    Case((-0.2, -0.4), "grown", True, (1.5, 1.5, 1.5)),
    Case((0.7, 0.0), "none", True, (1.5, 1.5, 1.0)),
)


def draw(number: int) -> tuple[Phantom, Phantom]:
    """Baseline and follow-up of a case, on scanners of their own."""
    case, seed = CASES[number], FIRST_SEED + number
    rng = np.random.default_rng([seed, 1])
    spec = ThoraxSpec.random(rng)
    drawn = random_lesions(spec, rng, LESIONS, RADIUS_MM) if case.lesions != "none" else []
    lesions = [replace(lesion, lesion_id=n + 1) for n, lesion in enumerate(drawn)]
    grid = _grid(spec, case)
    scans = []
    for visit, (breathing, shown) in enumerate(zip(case.breathing, _shown(lesions, case.lesions), strict=True)):
        turn, shift = rng.normal(0, 2.5, 3).tolist(), rng.normal(0, 6, 3).tolist()
        pose = Deformation(breathing, rotation_deg=tuple(turn), shift_mm=tuple(shift))
        scanner = replace(ScannerSpec.random(rng), slice_thickness_mm=case.voxel_mm[2], field_radius_mm=None)
        scans.append(
            simulate_thorax(seed * 2 + visit, lesions=shown, spec=spec, scanner=scanner, deformation=pose, grid=grid)
        )
    return scans[0], scans[1]


def _grid(spec: ThoraxSpec, case: Case) -> Grid:
    whole = whole_thorax(spec, case.voxel_mm)
    if not case.one_lung:
        return whole
    high = np.asarray(whole.origin_mm) + np.asarray(whole.shape) * whole.spacing_mm
    return Grid.spanning((MEDIASTINUM_MM, *whole.origin_mm[1:]), tuple(high.tolist()), case.voxel_mm)


def _shown(lesions: list[LesionSpec], kind: str) -> tuple[Sequence[LesionSpec], Sequence[LesionSpec]]:
    """Lesions of the baseline and of the follow-up."""
    some = lesions[: len(lesions) // 2]
    changed = [
        replace(lesion, radius_mm=lesion.radius_mm * (1.35 if n % 2 else 0.75)) for n, lesion in enumerate(lesions)
    ]
    return (some if kind == "new" else lesions), {"gone": some, "grown": changed}.get(kind, lesions)


def errors(scans: tuple[Phantom, Phantom], settings: RegistrationSettings) -> tuple[Floats, NDArray[np.bool_], str]:
    """Error in mm at lung points of the baseline, which of them lie in a lesion of either scan, and facts."""
    first, second = scans
    voxels = np.argwhere(first.organ.array > 0)[::EVERY]
    points = first.organ.to_world(voxels.astype(np.float64))
    truth = second.deformation.to_scan(first.deformation.to_reference(points))
    start = time.process_time()
    found = register(
        first.image,
        second.image,
        fixed_mask=first.organ,
        moving_mask=second.organ,
        fixed_lesions=first.lesions,
        moving_lesions=second.lesions,
        settings=settings,
    )
    spent = time.process_time() - start
    there = np.rint(second.lesions.to_index(truth)).astype(int)
    inside = ((there >= 0) & (there < second.lesions.shape)).all(axis=1)
    ill = first.lesions.array[tuple(voxels.T)] > 0
    ill[inside] |= second.lesions.array[tuple(there[inside].T)] > 0
    facts = f"{found.status}, {found.quality['folding_percent']:.3f} % folds, {spent:.1f} s of CPU"
    return np.linalg.norm(found.to_followup(points) - truth, axis=1), ill, facts


def main() -> None:
    """A line a case and spacing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(len(CASES))))
    parser.add_argument("--spacing", type=float, nargs="+", default=[RegistrationSettings().spacing_mm])
    parser.add_argument("--engine", default=RegistrationSettings().engine)
    asked = parser.parse_args()
    for number in asked.cases:
        scans = draw(number)
        for spacing in asked.spacing:
            settings = RegistrationSettings.model_validate({"spacing_mm": spacing, "engine": asked.engine})
            error, ill, facts = errors(scans, settings)
            figures = f"mean {error.mean():.2f}, median {np.median(error):.2f}, p95 {np.percentile(error, 95):.2f} mm"
            lesions = f"{error[ill].mean():.2f} mm" if ill.any() else "none"
            print(f"{number} ({CASES[number].lesions}), {spacing:g} mm: {figures}; lesions {lesions}; {facts}")  # noqa: T201


if __name__ == "__main__":
    main()
