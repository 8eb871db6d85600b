"""Programs timed side by side: in turn, A B A B …, so that a change in the machine's speed meets them all alike."""

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from threadpoolctl import threadpool_limits

SCRIPT = Path(__file__).with_name("peers.R")


@dataclass(frozen=True)
class Run:
    """One timed run: seconds, the log-likelihood reached (None where there is none), and the program's version."""

    seconds: float
    loglik: float | None
    version: str = ""


Program = Callable[[], Run | None]


def own(work: Callable[[], float | None], version: str = "") -> Program:
    """A Python function that returns its log-likelihood, on one compute thread."""

    def timed() -> Run:
        with threadpool_limits(limits=1):
            start = time.perf_counter()
            loglik = work()
            return Run(time.perf_counter() - start, loglik, version)

    return timed


def in_r(peer: str, table: Path) -> Program:
    """A peer in R, timed by R itself; None where R or the package is not installed."""

    def timed() -> Run | None:
        if shutil.which("Rscript") is None:
            return None
        done = subprocess.run(
            ["Rscript", str(SCRIPT), peer, str(table)], capture_output=True, text=True, check=True, timeout=3600
        )
        said = done.stdout.strip().splitlines()[-1]
        if said == "absent":
            return None
        seconds, loglik, version = said.split(" ", 2)
        return Run(float(seconds), float(loglik), version)

    return timed


@dataclass(frozen=True)
class Timed:
    """A program's runs in one series: median, least and greatest seconds, and the last run."""

    median: float
    least: float
    greatest: float
    last: Run


def side_by_side(programs: Mapping[str, Program], repeats: int) -> dict[str, Timed | None]:
    """All programs in turn, `repeats` times; None for those that are not installed. The first of our own warms up."""
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    absent = set()
    next(iter(programs.values()))()
    for _ in range(repeats):
        for name, program in programs.items():
            run = None if name in absent else program()
            if run is None:
                absent.add(name)
            else:
                runs[name].append(run)
    out: dict[str, Timed | None] = {}
    for name, each in runs.items():
        seconds = [run.seconds for run in each]
        out[name] = Timed(median(seconds), min(seconds), max(seconds), each[-1]) if each else None
    return out
