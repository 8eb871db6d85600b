"""Type I error and coverage of the default analysis in 5,000 trials a row: `python -m tests.benchmarks.type_one_error`.

Prints the table of docs/statistics.md, from `sample_manifests/type_one_error.yaml` and changes of it.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from trialscan.statistics.power import PowerDesign, TrialRow, simulate_trials, summarise
from trialscan.study.design_file import read_design

DESIGN = Path(__file__).parents[2] / "sample_manifests" / "type_one_error.yaml"
CHUNK = 50


@dataclass(frozen=True)
class Study:
    """A row of the table: the shipped design with `changes`."""

    patients: int
    drop_out: str
    analysis: str
    changes: dict[str, Any] = field(default_factory=dict)

    def design(self, shipped: PowerDesign) -> PowerDesign:
        fields = shipped.model_dump(exclude_unset=True)
        arms = {name: {"patients": self.patients} for name in shipped.arms}
        return PowerDesign.model_validate(fields | {"arms": arms} | self.changes)


AT_RANDOM = "completely at random"
STUDIES = (
    Study(10, AT_RANDOM, "default"),
    Study(50, AT_RANDOM, "default"),
    Study(10, "at random, odds ratio 2 per SD", "default", {"drop_out": {"share": 0.22, "odds_ratio_per_sd": 2.0}}),
    Study(10, AT_RANDOM, "first visit as baseline", {"analysis": {"baseline": True}}),
    Study(10, AT_RANDOM, "Satterthwaite", {"analysis": {"df": "satterthwaite"}}),
)


def simulated(design: PowerDesign, jobs: int) -> list[TrialRow]:
    chunks = [range(start, min(start + CHUNK, design.simulations)) for start in range(0, design.simulations, CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        return [row for part in pool.map(partial(simulate_trials, design, "null"), chunks) for row in part]


def line(study: Study, shipped: PowerDesign, jobs: int) -> str:
    design = study.design(shipped)
    rows = simulated(design, jobs)
    found = summarise(design, rows).set_index("statistic")
    value: pd.Series = found["value"]

    def percent(statistic: str) -> str:
        return f"{100 * value[statistic]:.2f} ± {100 * found.loc[statistic, 'monte_carlo_se']:.2f}"

    ratio = value["model_se"] / value["empirical_sd"]
    fell_back, failed = (sum(row.status == status for row in rows) for status in ("fallback", "failed"))
    lost = 100 * (1 - value["completers_share"])
    return (
        f"| {study.patients} | {study.drop_out} ({lost:.0f} %) | {study.analysis} | {percent('type_i_error')} "
        f"| {percent('coverage')} | {ratio:.3f} | {fell_back} | {failed} |"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments.add_argument("--simulations", type=int, default=None)
    given = arguments.parse_args()
    shipped = read_design(DESIGN, PowerDesign)
    if given.simulations is not None:
        shipped = shipped.model_copy(update={"simulations": given.simulations})
    for study in STUDIES:
        sys.stdout.write(line(study, shipped, given.jobs) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
