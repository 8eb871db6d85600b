"""Power of a design from file to files: what `trialscan simulate DESIGN --power` does."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from trialscan.audit.json_file import write_json
from trialscan.audit.software import software
from trialscan.errors import UsageError
from trialscan.pipeline.executors import executors_for
from trialscan.pipeline.tables import write_table
from trialscan.statistics.power import PowerDesign, Scenario, TrialRow, scenarios, simulate_trials, summarise
from trialscan.study.design_file import read_design

CHUNK = 25
_LIBRARIES = ("trialscan", "python", "machine", "numpy", "scipy", "pandas", "formulaic")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PowerResult:
    """What the trials came to: `summary` a row a statistic, `trials` a row a simulated trial and compared arm."""

    design: PowerDesign
    summary: pd.DataFrame
    trials: pd.DataFrame


def simulate_power(path: Path, out: Path, jobs: int = 1, progress: Progress | None = None) -> PowerResult:
    """Simulate the design in a YAML file; write power.csv, trials.csv (each also as Parquet) and power.json to `out`.

    The same design gives the same bytes, whatever the number of `jobs`.

    Parameters
    ----------
    jobs : processes to share the trials among, each with one compute thread.
    progress : told (trials done, trials in all) after every few trials.

    Raises
    ------
    InputError : the design cannot be read; every fault is listed. UsageError : `jobs` is not positive.
    """
    if jobs < 1:
        raise UsageError("jobs", str(jobs), "a positive number")
    design = read_design(path, PowerDesign)
    rows: list[TrialRow] = []
    total = len(scenarios(design)) * design.simulations
    for done, part in _simulated(design, jobs):
        rows += part
        if progress is not None:
            progress(done, total)
    result = PowerResult(design, summarise(design, rows), pd.DataFrame([vars(row) for row in rows]))
    write_table(result.summary, out / "power")
    write_table(result.trials, out / "trials")
    write_json(out / "power.json", document(result))
    return result


def document(result: PowerResult) -> dict[str, Any]:
    """power.json: the design with every default, what was fitted and what failed and why, the figures, the software."""
    versions = software()
    return {
        "design": result.design.model_dump(mode="json"),
        "reference_arm": result.design.reference_arm,
        "measurement_sd": result.design.measurement.standard_deviation,
        "counts": [_counts(result.trials, scenario) for scenario in scenarios(result.design)],
        "results": result.summary.to_dict("records"),
        "software": {name: versions[name] for name in _LIBRARIES},
    }


def _counts(trials: pd.DataFrame, scenario: Scenario) -> dict[str, Any]:
    """Trials by status and by covariance, and each that failed with its reason; one fit serves all arms of a trial."""
    mine = trials[trials["scenario"] == scenario]
    first = mine[mine["arm"] == mine["arm"].iloc[0]]
    failed = first[first["status"] == "failed"]
    return {
        "scenario": scenario,
        "simulated": len(first),
        "by_status": {str(name): int(count) for name, count in sorted(first["status"].value_counts().items())},
        "by_covariance": {
            str(name): int(count) for name, count in sorted(first["structure"].value_counts().items()) if name
        },
        "failed": [
            {"trial": int(trial), "reason": why} for trial, why in zip(failed["trial"], failed["reason"], strict=True)
        ],
    }


def _simulated(design: PowerDesign, jobs: int) -> Iterator[tuple[int, Sequence[TrialRow]]]:
    """How many trials are done, and the rows of the latest, in order."""
    work = [
        (scenario, range(start, min(start + CHUNK, design.simulations)))
        for scenario in scenarios(design)
        for start in range(0, design.simulations, CHUNK)
    ]
    done = 0
    if jobs == 1:
        for scenario, numbers in work:
            done += len(numbers)
            yield done, simulate_trials(design, scenario, numbers)
        return
    with executors_for("cpu", "cpu", jobs) as lanes:
        futures: list[Future[list[TrialRow]]] = [lanes["cpu"].submit(simulate_trials, design, *each) for each in work]
        try:
            for future, (_, numbers) in zip(futures, work, strict=True):
                done += len(numbers)
                yield done, future.result()
        finally:
            lanes["cpu"].shutdown(cancel_futures=True)
