"""Peak memory of an MMRM with many patterns of visits: `python -m tests.benchmarks.memory PATIENTS VISITS MISSING`."""

import argparse
import resource
import sys
import tracemalloc

from tests.benchmarks.tables import visits_table
from trialscan.statistics import fit_mmrm


def main() -> None:
    """Print the patterns, the peak before and after the fit, and the fit's own (with --trace), in MiB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patients", type=int)
    parser.add_argument("visits", type=int)
    parser.add_argument("missing", type=float)
    parser.add_argument("--trace", action="store_true", help="follow each allocation, which takes time")
    given = parser.parse_args()
    table = visits_table(given.patients, given.visits, missing=given.missing)
    patterns = table.groupby("id")["visit"].agg("".join).nunique()
    before = _peak()
    if given.trace:
        tracemalloc.start()
    fit_mmrm(table, "y ~ arm * visit", patient="id", visit="visit")
    own = tracemalloc.get_traced_memory()[1] / 2**20 if given.trace else float("nan")
    sys.stdout.write(f"{patterns} {before:.0f} {_peak():.0f} {own:.0f}\n")


def _peak() -> float:
    """The most this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
