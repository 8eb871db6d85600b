"""From the pairs of scan_rescan.py to a table of measurement error, and how well calls by it do.

    python tests/benchmarks/repeatability_table.py DIR/pairs.csv

ln SD = a + b ln(volume, ml) + c ln(slice, mm), by maximum likelihood of normal differences of two measurements; the
table takes the root mean square over each class of size and slice thickness (sizes spread evenly on the log scale),
drawn out, where the differences have longer tails than normal ones, until 95 % of the pairs stay within its limits.
The false calls are cross-validated: each fifth of the patients is judged by a fit to the others. Power is of the
simulated growth by 30 %, by the table from all.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize

from trialscan.lesions.repeatability import common_share

Floats = NDArray[np.float64]
FROM_ML = (0.0, 0.3, 1.0, 3.0, 10.0)
RANGE_ML = (0.1, 30.0)
SLICES_MM = {1.5: 2.0, 3.0: 4.0, 5.0: None}
FOLDS = 5
Z = 1.959963984540054


def read(path: Path, kind: str) -> pd.DataFrame:
    """The pairs of one kind, with the log ratio and the log of the geometric mean volume."""
    rows = pd.read_csv(path)
    rows = rows[rows["pair"] == kind].reset_index(drop=True)
    first, second = np.log(rows["before_ml"]), np.log(rows["after_ml"])
    return rows.assign(shift=second - first, size=(first + second) / 2, before=first, after=second)


def fit(rows: pd.DataFrame) -> Floats:
    """(a, b, c) of the within-subject SD."""
    design = np.column_stack([np.ones(len(rows)), rows["size"], np.log(rows["slice_mm"])])
    squares = rows["shift"].to_numpy() ** 2 / 2

    def deviance(parameters: Floats) -> float:
        log_sd = design @ parameters
        return float((log_sd + squares / 2 * np.exp(-2 * log_sd)).sum())

    return np.asarray(optimize.minimize(deviance, np.array([-2.0, -0.3, 0.0]), method="Nelder-Mead").x)


def sd_of(parameters: Floats, log_ml: Floats, slice_mm: Floats) -> Floats:
    """The within-subject SD of the fit."""
    return np.asarray(np.exp(parameters[0] + parameters[1] * log_ml + parameters[2] * np.log(slice_mm)))


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The root mean square of the fit over each class, drawn out to hold 95 % of the pairs."""
    found = pd.DataFrame(list(_classes(fit(rows))))
    wider = max(1.0, float(np.quantile(np.abs(rows["shift"]) / (Z * _difference_sd(found, rows)), 0.95)))
    return found.assign(sd_log=(found["sd_log"] * wider).round(3))


def _classes(parameters: Floats) -> Iterator[dict[str, float | None]]:
    ends = [*FROM_ML[1:], RANGE_ML[1]]
    for simulated, limit in SLICES_MM.items():
        for start, end in zip(FROM_ML, ends, strict=True):
            sizes = np.linspace(np.log(max(start, RANGE_ML[0])), np.log(end), 50)
            sd = float(np.sqrt((sd_of(parameters, sizes, np.full(50, simulated)) ** 2).mean()))
            yield {"from_ml": start, "max_slice_mm": limit, "sd_log": sd, "simulated_mm": simulated}


def look_up(found: pd.DataFrame, log_ml: Floats, slice_mm: Floats) -> Floats:
    """The SD of the table's class for each lesion."""
    sizes = np.searchsorted(np.log(np.maximum(FROM_ML, 1e-9)), log_ml, side="right") - 1
    held = found.set_index(["simulated_mm", "from_ml"])["sd_log"]
    return np.array([held[s, FROM_ML[n]] for s, n in zip(slice_mm, sizes, strict=True)])


def called(found: pd.DataFrame, rows: pd.DataFrame) -> Floats:
    """+1 growing, -1 shrinking, 0 neither, as a run calls them."""
    shift = rows["shift"].to_numpy()
    return np.where(np.abs(shift) > Z * _difference_sd(found, rows), np.sign(shift), 0.0)


def _difference_sd(found: pd.DataFrame, rows: pd.DataFrame) -> Floats:
    slices = rows["slice_mm"].to_numpy()
    return np.hypot(*(look_up(found, rows[side].to_numpy(), slices) for side in ("before", "after")))


def cross_validated(rows: pd.DataFrame) -> Floats:
    """The calls on unchanged lesions, each by a table that its patient had no part in."""
    calls = np.zeros(len(rows))
    fold = rows["patient"].to_numpy() // 3 % FOLDS  # the slice thickness goes by patient modulo 3
    for number in range(FOLDS):
        if (fold == number).any():
            calls[fold == number] = called(table(rows[fold != number]), rows[fold == number])
    return calls


def main() -> None:
    """Print tables, false calls and power."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    path = parser.parse_args().pairs
    for kind in ("rescan", "scanner"):
        rows = read(path, kind)
        parameters = fit(rows)
        found, wrong = table(rows), cross_validated(rows)
        standardised = rows["shift"] / sd_of(parameters, rows["size"].to_numpy(), rows["slice_mm"].to_numpy())
        common = common_share(zip(rows["patient"].astype(str), standardised, strict=True))
        print(kind, len(rows), "pairs of", rows["patient"].nunique(), "patients; a b c", parameters.round(3))  # noqa: T201
        print(found.pivot(index="from_ml", columns="simulated_mm", values="sd_log").to_string())  # noqa: T201
        print(f"called: {100 * (wrong != 0).mean():.1f} %, common share {common:.2f}")  # noqa: T201
        if kind == "rescan":
            growth = read(path, "growth")
            classes = pd.cut(growth["before"], np.log([0.1, 0.3, 1, 3, 10, 1000]))
            grown = growth.assign(hit=called(found, growth) > 0, size_class=classes)
            print(grown.groupby(["slice_mm", "size_class"], observed=True)["hit"].agg(["mean", "count"]).to_string())  # noqa: T201


if __name__ == "__main__":
    main()
