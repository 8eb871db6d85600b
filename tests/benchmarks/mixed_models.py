"""Mixed models beside their peers, on the same tables in one run: `python -m tests.benchmarks.mixed_models`.

Writes docs/benchmarks.md. Needs R with nlme, lme4, lmerTest and pbkrtest for the peers there (Debian: r-cran-nlme,
r-cran-lme4, r-cran-lmertest, r-cran-pbkrtest); where one is not installed its row says so.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.regression.mixed_linear_model import MixedLM

from tests.benchmarks.tables import events_table, slopes_table, visits_table
from tests.benchmarks.timing import Program, Timed, in_r, own, side_by_side
from trialscan.statistics import MixedModelResult, fit_mmrm, fit_random_slope
from trialscan.statistics.imputation import reference_based
from trialscan.statistics.power import PowerDesign, simulate_trials

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
OURS = "trialscan"
ABSENT = "peer not installed"


def mmrm(table: pd.DataFrame) -> Callable[[], float]:
    """Fit, Kenward–Roger, LS-means by arm and visit, all differences, and the joint test of the interaction."""

    def work() -> float:
        result = fit_mmrm(table, "y ~ arm * visit", patient="id", visit="visit")
        result.lsmeans(("arm", "visit"))
        result.lsmeans_differences("arm", "visit")
        result.joint_test([name for name in result.names if ":" in name])
        return loglik(result)

    return work


def slopes(table: pd.DataFrame) -> Callable[[], float]:
    """Fit, Kenward–Roger, slopes by arm and their difference."""

    def work() -> float:
        result = fit_random_slope(table, "y ~ arm * day", patient="id", time="day")
        result.slopes("arm")
        result.slope_differences("arm")
        return loglik(result)

    return work


def loglik(result: MixedModelResult) -> float:
    return -result.minus2loglik / 2


def in_statsmodels(table: pd.DataFrame) -> Program:
    """MixedLM with lbfgs and centred, scaled time, as it does best.

    Two columns of X are then divided by `spread`, which the restricted log-likelihood is corrected for.
    """
    spread = float(table["day"].std())
    scaled = table.assign(day=(table["day"] - table["day"].mean()) / spread)

    def work() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = MixedLM.from_formula("y ~ arm * day", scaled, groups="id", re_formula="~day")
            return float(model.fit(reml=True, method="lbfgs").llf - 2 * np.log(spread))

    return own(work, f"statsmodels {version('statsmodels')}")


def jackknife(table: pd.DataFrame) -> Callable[[], None]:
    """All five strategies, every patient left out in turn with the imputation model refitted."""

    def work() -> None:
        reference_based(
            table,
            "y ~ base * visit + arm * visit",
            patient="id",
            visit="visit",
            arm="arm",
            reference="control",
            first_affected="event",
            covariates=["base"],
        )

    return work


def small_trials(count: int) -> Callable[[], None]:
    """Simulated trials of 20 patients and 5 visits, each analysed by the default MMRM."""
    design = PowerDesign.model_validate(
        {
            "arms": {"control": {"patients": 10}, "treated": {"patients": 10}},
            "visits": {f"V{number}": 14 * number for number in range(1, 6)},
            "covariance": {"structure": "ar1", "sd": 1.0, "correlation": 0.7},
            "drop_out": {"share": 0.22},
        }
    )

    def work() -> None:
        simulate_trials(design, "null", range(count))

    return work


def compared(title: str, programs: dict[str, Program], repeats: int) -> Iterator[str]:
    """A table of programs on the same data; ratios are of medians, beside trialscan."""
    done = side_by_side(programs, repeats)
    ours = done[OURS]
    if ours is None:
        raise RuntimeError(f"{title}: no run of {OURS}")
    yield f"\n### {title}\n"
    yield "| program | seconds: median (least – greatest) | times trialscan's | log-likelihood less trialscan's |"
    yield "|---|---|---|---|"
    for name, timed in done.items():
        yield f"| {name} | {ABSENT} | | |" if timed is None else _row(name, timed, ours)


def _row(name: str, timed: Timed, ours: Timed) -> str:
    spread = f"{timed.median:.3g} ({timed.least:.3g} – {timed.greatest:.3g})"
    if timed is ours:
        return f"| {name} | {spread} | 1 | |"
    apart = ""
    if timed.last.loglik is not None and ours.last.loglik is not None:
        apart = f"{timed.last.loglik - ours.last.loglik:.1g}"
    label = f"{name} ({timed.last.version})" if timed.last.version else name
    return f"| {label} | {spread} | {timed.median / ours.median:.3g} | {apart} |"


def sections(folder: Path, repeats: int) -> Iterator[str]:
    """Every benchmark, one after the other."""
    files = {}
    tables = {"visits": visits_table(500, 5), "slopes": slopes_table(2000, 6), "small": slopes_table(100, 6)}
    for name, table in tables.items():
        files[name] = folder / f"{name}.csv"
        table.to_csv(files[name], index=False)
    yield from compared(
        "MMRM, unstructured, 500 patients × 5 visits: fit, Kenward–Roger and all contrasts",
        {OURS: own(mmrm(tables["visits"])), "nlme `gls`, fit alone": in_r("gls", files["visits"])},
        repeats,
    )
    yield from compared(
        "Random slopes, 2,000 patients × 6 irregular visits: fit, Kenward–Roger and slopes by arm",
        {
            OURS: own(slopes(tables["slopes"])),
            "lme4 `lmer`, fit alone": in_r("lmer", files["slopes"]),
            "lmerTest `lmer` with Satterthwaite": in_r("lmerTest", files["slopes"]),
            "statsmodels `MixedLM`, fit alone": in_statsmodels(tables["slopes"]),
        },
        repeats,
    )
    yield from compared(
        "Random slopes, 100 patients × 6 irregular visits: fit and Kenward–Roger",
        {
            OURS: own(slopes(tables["small"])),
            "lmerTest `lmer` with pbkrtest's Kenward–Roger": in_r("pbkrtest", files["small"]),
            "statsmodels `MixedLM`, fit alone": in_statsmodels(tables["small"]),
        },
        repeats,
    )
    yield from alone(repeats)


def alone(repeats: int) -> Iterator[str]:
    """What no installed peer does, in seconds."""
    yield "\n### Without a peer\n"
    yield "| what | seconds: median (least – greatest) |"
    yield "|---|---|"
    work: dict[str, Callable[[], float | None]] = {
        "MMRM, unstructured, 1,000 patients × 10 visits: fit, Kenward–Roger and all contrasts": mmrm(
            visits_table(1000, 10)
        ),
        "reference-based imputation, 200 patients × 5 visits, five strategies, jackknife": jackknife(
            events_table(200, 5)
        ),
        "100 simulated trials of 20 patients × 5 visits, drawn and analysed by the default MMRM": small_trials(100),
    }
    for name, each in work.items():
        timed = side_by_side({OURS: own(each)}, repeats)[OURS]
        if timed is not None:
            yield f"| {name} | {timed.median:.3g} ({timed.least:.3g} – {timed.greatest:.3g}) |"


def memory() -> Iterator[str]:
    """Peak memory, each in a process of its own."""
    yield "\n### Memory\n"
    yield "| what | patterns of visits | process before the fit, MiB | peak, MiB | allocated by the fit, MiB |"
    yield "|---|---|---|---|---|"
    for patients, visits, missing in ((5000, 10, 0.25), (3000, 14, 0.3)):
        given = [sys.executable, "-m", "tests.benchmarks.memory", str(patients), str(visits), str(missing)]
        plain, traced = (
            subprocess.run([*given, *extra], capture_output=True, text=True, check=True).stdout.split()
            for extra in ([], ["--trace"])
        )
        what = f"MMRM, unstructured, {patients:,} patients × {visits} visits, {missing:.0%} missing anywhere"
        yield f"| {what} | {plain[0]} | {plain[1]} | {plain[2]} | {traced[3]} |"


def heading() -> Iterator[str]:
    """What was measured on what, and how to do it again."""
    own_versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "pandas", "formulaic"))
    yield "# Benchmarks\n"
    yield "Mixed models beside other programs on the same tables. Made by\n"
    yield "    python -m tests.benchmarks.mixed_models\n"
    yield (
        f"on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()} {platform.system()}; "
        f"Python {platform.python_version()}, {own_versions}. Each program runs on one thread."
    )
    yield ""
    yield (
        "Programs run in turn, A B A B …, so that the ratios hold on a machine that others use too; absolute seconds "
        "are those of this one. Reading the table, starting R and loading packages are not timed. Log-likelihoods are "
        "restricted; their differences show that the programs maximised the same function."
    )


def main() -> None:
    """Run all benchmarks and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each program")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    given = parser.parse_args()
    lines = list(heading())
    with tempfile.TemporaryDirectory() as folder:
        for line in (*sections(Path(folder), given.repeats), *memory()):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            lines.append(line)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
