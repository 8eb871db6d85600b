"""Measurement error of lesion volumes on chest CT by simulation: phantoms scanned twice, outlined by the network.

    python tests/benchmarks/scan_rescan.py --out DIR [--patients 45] [--first 0] [--pairs rescan scanner growth]

Each simulated patient (one lung, up to 24 lesions that do not touch) is scanned four times in another pose and breath:
twice alike (`rescan`), once on another scanner with another kernel and noise (`scanner`), and once alike with every
lesion 30 % larger (`growth`). Slice thickness goes round 1.5, 3 and 5 mm. The shipped network outlines every scan;
lesions are found, measured and linked as in a run, along the true deformation. `pairs.csv` holds a row for each lesion
that is one and whole in both scans. The CT table of `trialscan/study/repeatability.py` comes from it.
"""

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trialscan.lesions import VisitFindings, find_lesions, track_patient
from trialscan.phantom import Deformation, Grid, LesionSpec, ScannerSpec, ThoraxSpec, random_lesions, simulate_thorax
from trialscan.phantom.thorax import whole_thorax
from trialscan.segmentation import Segmenter, load_bundle, segment_scan
from trialscan.study import Protocol, find_protocol, load_protocol, resolve_model

Floats = NDArray[np.float64]
PROTOCOL = "covid_lung_ct"
SLICES_MM = (1.5, 3.0, 5.0)
PIXEL_MM = 1.75
LESIONS, RADIUS_MM, GAP_MM = 24, (3.5, 15.0), 8.0
GROWTH = 1.3
SEED = 20261126
PAIRS = {"rescan": 1, "scanner": 2, "growth": 3}
COLUMNS = ("patient", "pair", "slice_mm", "lesion_id", "class_name", "before_ml", "after_ml", "change")


@dataclass(frozen=True)
class TrueAlignment:
    """The true map between two scans of one phantom."""

    followup: Deformation
    baseline: Deformation
    status: str = "pass"
    quality: Mapping[str, float | None] = field(default_factory=lambda: {"estimated_error_mm_p95": 0.0})

    def to_baseline(self, points: Floats) -> Floats:
        """From the follow-up's LPS mm to the baseline's."""
        return self.baseline.to_scan(self.followup.to_reference(points))

    def to_followup(self, points: Floats) -> Floats:
        """The other way."""
        return self.followup.to_scan(self.baseline.to_reference(points))


@dataclass(frozen=True)
class Subject:
    """One simulated patient: anatomy, lesions of one lung, and the four scans' scanners and poses."""

    anatomy: ThoraxSpec
    lesions: tuple[LesionSpec, ...]
    scanner: ScannerSpec
    other: ScannerSpec
    slice_mm: float
    poses: tuple[Deformation, ...]


def draw_subject(number: int) -> Subject:
    """Everything random about one patient."""
    rng = np.random.default_rng([SEED, number])
    anatomy = ThoraxSpec.random(rng)
    slice_mm = SLICES_MM[number % len(SLICES_MM)]
    scanners = [replace(ScannerSpec.random(rng), slice_thickness_mm=slice_mm, field_radius_mm=None) for _ in range(2)]
    chosen: list[LesionSpec] = []
    for lesion in random_lesions(anatomy, rng, 400, RADIUS_MM):
        apart = [np.linalg.norm(np.subtract(lesion.center_mm, one.center_mm)) for one in chosen]
        room = [lesion.radius_mm * 1.3 + one.radius_mm * 1.3 + GAP_MM for one in chosen]
        if lesion.center_mm[0] > 0 and all(a > b for a, b in zip(apart, room, strict=True)):
            chosen.append(replace(lesion, lesion_id=len(chosen) + 1))
        if len(chosen) == LESIONS:
            break
    return Subject(anatomy, tuple(chosen), *scanners, slice_mm, tuple(_pose(rng) for _ in range(4)))


def _pose(rng: np.random.Generator) -> Deformation:
    turn, shift = rng.normal(0, 2.0, 3).tolist(), rng.normal(0, 5.0, 3).tolist()
    return Deformation(float(np.clip(rng.normal(0, 0.1), -0.3, 0.3)), rotation_deg=tuple(turn), shift_mm=tuple(shift))


def one_lung(subject: Subject) -> Grid:
    """The left half of the thorax, at the subject's slice thickness."""
    whole = whole_thorax(subject.anatomy, (PIXEL_MM, PIXEL_MM, subject.slice_mm))
    low = (-22.0, *whole.origin_mm[1:])
    high = np.asarray(whole.origin_mm) + np.asarray(whole.shape) * whole.spacing_mm
    return Grid.spanning(low, tuple(high.tolist()), whole.spacing_mm)


def scan(subject: Subject, number: int, visit: int, protocol: Protocol, segmenter: Segmenter) -> VisitFindings:
    """One of the four scans, outlined and measured."""
    factor = np.cbrt(GROWTH) if visit == 3 else 1.0
    phantom = simulate_thorax(
        number * 4 + visit,
        lesions=[replace(lesion, radius_mm=float(lesion.radius_mm * factor)) for lesion in subject.lesions],
        spec=subject.anatomy,
        scanner=subject.other if visit == 2 else subject.scanner,
        deformation=subject.poses[visit],
        grid=one_lung(subject),
    )
    outlined = segment_scan(
        phantom.image, settings=protocol.segmentation, segmenter=segmenter, organ_mask=None, lesion_mask=None
    )
    alignment = TrueAlignment(subject.poses[visit], subject.poses[0]) if visit else None
    findings = find_lesions(outlined, phantom.image, protocol.lesions)
    return VisitFindings(f"V{visit}", visit, findings, alignment, is_baseline=visit == 0)  # type: ignore[arg-type]


def pairs(number: int, kinds: Sequence[str], protocol: Protocol, segmenter: Segmenter) -> Iterator[tuple[object, ...]]:
    """The rows of one patient: baseline against each of the other scans asked for."""
    subject = draw_subject(number)
    baseline = scan(subject, number, 0, protocol, segmenter)
    for kind in kinds:
        followup = scan(subject, number, PAIRS[kind], protocol, segmenter)
        history = track_patient([baseline, followup], protocol.lesions)
        before = {row.lesion_id: row for row in history.rows if row.visit == "V0"}
        for row in history.rows:
            single = row.visit != "V0" and row.predecessors == (row.lesion_id,) and row.label is not None
            if single and row.change not in {"split", "merged", "new"} and "cut" not in row.note:
                start = before[row.lesion_id]
                yield (
                    *(number, kind, subject.slice_mm, row.lesion_id, start.class_name),
                    *(start.volume_ml, row.volume_ml, row.change),
                )


def main() -> None:
    """Write pairs.csv, a patient at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=45)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--pairs", nargs="+", choices=list(PAIRS), default=list(PAIRS))
    asked = parser.parse_args()
    protocol, source = load_protocol(PROTOCOL), find_protocol(PROTOCOL)
    bundle = resolve_model(protocol, source)
    if bundle is None:
        parser.error(f"protocol {PROTOCOL} names no model")
    segmenter = load_bundle(bundle, "cpu", protocol.segmentation.weights_sha256)
    asked.out.mkdir(parents=True, exist_ok=True)
    with (asked.out / "pairs.csv").open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        for number in range(asked.first, asked.first + asked.patients):
            writer.writerows(pairs(number, asked.pairs, protocol, segmenter))
            file.flush()


if __name__ == "__main__":
    main()
