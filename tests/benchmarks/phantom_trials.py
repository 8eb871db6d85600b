"""Lesion histories of simulated patients against their truth: `python -m tests.benchmarks.phantom_trials`.

Five visits with merges, splits, resolutions and new lesions; residual alignment errors of 0, 1, 3 and 5 mm, with and
without an estimate; and kinds of trouble: none, crowded, tiny or many lesions, a single one, visits missing, unaligned
or cropped, the first follow-up and the baseline among them. Prints the table of docs/lesions.md.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tests.lesions.simulated_patients import (
    VISITS,
    Field,
    LinkScore,
    SimulatedScan,
    cropped,
    draw_patient,
    family_errors,
    followed,
    resolved_shares,
    scan,
    score_links,
    whole,
)
from trialscan.study.sections import LesionSettings

RESIDUALS_MM = (0.0, 1.0, 3.0, 5.0)
Plan = Callable[[np.random.Generator], list[Field]]


def complete(rng: np.random.Generator) -> list[Field]:
    return [whole() for _ in range(VISITS)]


def gaps(rng: np.random.Generator) -> list[Field]:
    return [whole(), whole("missing"), whole(), whole("unaligned"), whole()]


def crops(rng: np.random.Generator) -> list[Field]:
    return [cropped(rng) for _ in range(VISITS)]


def everything(rng: np.random.Generator) -> list[Field]:
    return [cropped(rng), whole("missing"), cropped(rng), whole("unaligned"), whole()]


@dataclass(frozen=True)
class Trial:
    """Patients of `lesions` seeds of about `median_ml`, a share `crowded` of them around others."""

    name: str
    lesions: int
    median_ml: float
    crowded: float = 1 / 3
    plan: Plan = complete
    patients: int = 1


TRIALS = (
    Trial("40 of 1.2 ml", 40, 1.2),
    Trial("80 of 0.3 ml", 80, 0.3),
    Trial("80 of 0.6 ml, four in five crowded", 80, 0.6, 0.8),
    Trial("200 of 0.3 ml", 200, 0.3),
    Trial("100 of 0.12 ml, half below the minimum", 100, 0.12),
    Trial("1 of 1 ml", 1, 1.0, 0.0, patients=5),
    Trial("40 of 1.2 ml, V1 missing, V3 unaligned", 40, 1.2, plan=gaps),
    Trial("40 of 0.6 ml, every visit cropped", 40, 0.6, plan=crops),
    Trial("40 of 0.6 ml, cropped, missing and unaligned", 40, 0.6, plan=everything),
)


def scanned(trial: Trial, patients: int) -> Iterator[list[SimulatedScan]]:
    settings = LesionSettings()
    for number in range(patients * trial.patients):
        rng = np.random.default_rng([2026, number])
        patient = draw_patient(rng, trial.lesions, trial.median_ml, trial.crowded)
        yield [scan(patient, visit, settings, field) for visit, field in enumerate(trial.plan(rng))]


def report(trial: Trial, patients: int) -> Iterator[str]:
    scans = list(scanned(trial, patients))
    for residual_mm in RESIDUALS_MM:
        for told in (True, False):
            links, misplaced, volume, resolved = LinkScore(), 0.0, 0.0, []
            for number, held in enumerate(scans):
                rng = np.random.default_rng([number, int(residual_mm)])
                history = followed(held, rng, residual_mm, LesionSettings(), told=told)
                links = links + score_links(history, held)
                wrong, total = family_errors(history, held)
                misplaced, volume = misplaced + wrong, volume + total
                resolved += resolved_shares(history, held)
            unseen = sum(share < 0.5 for share in resolved)
            yield (
                f"| {trial.name} | {residual_mm:g} | {'right' if told else 'none'} | {links.f1:.4f} "
                f"| {links.right + links.missed} | {100 * misplaced / volume if volume else 0:.2f} "
                f"| {unseen} of {len(resolved)} | {min(resolved, default=1.0):.2f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=10)
    parser.add_argument("--trial", type=int, help="one kind of trial alone, by its place")
    asked = parser.parse_args()
    sys.stdout.write("| lesions | residual error, mm | estimate | F1 | links | misplaced family volume, % ")
    sys.stdout.write("| resolved where not scanned | least share scanned |\n|---|---|---|---|---|---|---|---|\n")
    for trial in TRIALS if asked.trial is None else TRIALS[asked.trial : asked.trial + 1]:
        for line in report(trial, asked.patients):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
