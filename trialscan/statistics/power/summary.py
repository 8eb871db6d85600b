"""What simulated trials come to, each figure with its Monte-Carlo standard error (Morris, White & Crowther 2019)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.statistics.power.analysis import TrialAnalysis
from trialscan.statistics.power.design import PowerDesign
from trialscan.statistics.power.simulate import TrialRow, scenarios

Array = NDArray[np.float64]
COLUMNS = ("scenario", "arm", "comparator", "statistic", "value", "monte_carlo_se", "n", "note")


@dataclass(frozen=True)
class _Figure:
    """A figure from n trials."""

    statistic: str
    value: float
    monte_carlo_se: float
    n: int
    note: str = ""


def summarise(design: PowerDesign, rows: Sequence[TrialRow]) -> pd.DataFrame:
    """A row for each scenario, arm and statistic, with columns COLUMNS.

    Rejections, coverage, bias, standard errors and degrees of freedom are those of the trials with a result; how many
    had none is a row of its own, and a note beside the rejections says what their share is of all trials.
    """
    trials = pd.DataFrame([vars(row) for row in rows])
    truth = TrialAnalysis.of(design).truth
    out = []
    for scenario in scenarios(design):
        for arm in design.other_arms:
            chosen = trials[(trials["scenario"] == scenario) & (trials["arm"] == arm)]
            true = truth[arm] if scenario == "design" else 0.0
            where = {"scenario": scenario, "arm": arm, "comparator": design.reference_arm}
            figures = [*_accounts(chosen, _sizes(design, arm)), *_inference(chosen, true, design.analysis.alpha)]
            out += [where | vars(figure) for figure in figures]
    return pd.DataFrame(out, columns=list(COLUMNS))


def _sizes(design: PowerDesign, arm: str) -> Mapping[str, int]:
    return {
        "completers": design.arms[arm].patients,
        "comparator_completers": design.arms[design.reference_arm].patients,
    }


def _accounts(trials: pd.DataFrame, sizes: Mapping[str, int]) -> list[_Figure]:
    """How many trials had a result, by which way, and who completed them."""
    figures = [
        _share(f"{status}_share", (trials["status"] == status).to_numpy())
        for status in ("failed", "fallback", "singular")
    ]
    for name, size in sizes.items():
        figures.append(_mean(f"{name}_share", trials[name].to_numpy(dtype=np.float64) / size))
    return figures


def _inference(trials: pd.DataFrame, true: float, alpha: float) -> list[_Figure]:
    fitted = trials[trials["status"] != "failed"]
    n, asked = len(fitted), len(trials)
    if n < 2:
        return [_Figure("true_value", true, 0.0, n, f"{n} of {asked} trials gave a result")]
    estimate, se, df = (fitted[name].to_numpy(dtype=np.float64) for name in ("estimate", "se", "df"))
    rejected = (fitted["p"] < alpha).to_numpy()
    covered = ((fitted["lower"] <= true) & (true <= fitted["upper"])).to_numpy()
    lost = (
        "" if n == asked else f"{asked - n} of {asked} trials gave no result; of all trials {rejected.sum() / asked:g}"
    )
    sd = float(np.std(estimate, ddof=1))
    mean_square = float(np.mean(se**2))
    spread = float(np.std(se**2, ddof=1)) / (2 * np.sqrt(n * mean_square))
    return [
        _share("power" if true else "type_i_error", rejected, lost),
        _share("coverage", covered),
        _Figure("true_value", true, 0.0, n),
        _mean("bias", estimate - true),
        _Figure("empirical_sd", sd, sd / float(np.sqrt(2 * (n - 1))), n),
        _Figure("model_se", float(np.sqrt(mean_square)), spread, n, "root mean square"),
        _mean("mean_df", df),
    ]


def _share(statistic: str, happened: NDArray[np.bool_], note: str = "") -> _Figure:
    share, n = float(np.mean(happened)), len(happened)
    return _Figure(statistic, share, float(np.sqrt(share * (1 - share) / n)), n, note)


def _mean(statistic: str, values: Array) -> _Figure:
    return _Figure(statistic, float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))), len(values))
