import numpy as np
import pytest

from trialscan.statistics.power import TrialRow, summarise


def row(trial, estimate, p, *, status="ok", scenario="design"):
    numbers = (estimate, 0.5, 10.0, p, estimate - 1.0, estimate + 1.0)
    if status == "failed":
        numbers = (float("nan"),) * 6
    return TrialRow(scenario, trial, "treated", "control", status, *numbers, "us", "", 8, 9)


def test_figures_and_their_monte_carlo_errors_in_closed_form(designed):
    design = designed(simulations=5)
    rows = [
        row(0, -0.6, 0.01),
        row(1, -1.2, 0.02),
        row(2, 0.6, 0.3),
        row(3, -0.2, 0.2, status="fallback"),
        row(4, 0, 0, status="failed"),
    ]
    rows += [row(trial, 0.0, 1.0, scenario="null") for trial in range(5)]
    table = summarise(design, rows)
    found = {key: group.set_index("statistic") for key, group in table.groupby("scenario")}["design"]
    estimates = np.array([-0.6, -1.2, 0.6, -0.2])
    sd = np.std(estimates, ddof=1)
    expected = {
        "failed_share": (0.2, np.sqrt(0.2 * 0.8 / 5), 5),
        "fallback_share": (0.2, np.sqrt(0.2 * 0.8 / 5), 5),
        "singular_share": (0.0, 0.0, 5),
        "completers_share": (0.8, 0.0, 5),
        "comparator_completers_share": (0.9, 0.0, 5),
        "power": (0.5, 0.25, 4),
        "coverage": (0.75, np.sqrt(0.75 * 0.25 / 4), 4),
        "true_value": (-0.6, 0.0, 4),
        "bias": (0.25, sd / 2, 4),
        "empirical_sd": (sd, sd / np.sqrt(6), 4),
        "model_se": (0.5, 0.0, 4),
        "mean_df": (10.0, 0.0, 4),
    }
    assert list(found.index) == list(expected)
    for statistic, (value, error, n) in expected.items():
        assert found.loc[statistic, "value"] == pytest.approx(value), statistic
        assert found.loc[statistic, "monte_carlo_se"] == pytest.approx(error, abs=1e-12), statistic
        assert found.loc[statistic, "n"] == n
    assert found.loc["power", "note"] == "1 of 5 trials gave no result; of all trials 0.4"


def test_a_design_whose_trials_all_fail_says_so(designed):
    design = designed(arms={"control": {"patients": 2}, "treated": {"patients": 2}}, simulations=2)
    rows = [row(trial, 0, 0, status="failed", scenario="null") for trial in range(2)]
    found = summarise(design, rows).set_index("statistic")
    assert found.loc["failed_share", "value"] == 1.0
    assert found.loc["true_value", "note"] == "0 of 2 trials gave a result"
    assert "type_i_error" not in found.index
