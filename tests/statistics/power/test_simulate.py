"""Simulated trials against closed forms, and the type I error of the default analysis."""

import numpy as np
from scipy import stats

from trialscan.statistics.power import scenarios, simulate_trials, summarise
from trialscan.statistics.power.draw import Population


def figures(design, rows):
    table = summarise(design, rows)
    return {(row["scenario"], row["statistic"]): row for row in table.to_dict("records")}


def test_complete_trials_are_t_tests_and_their_power_is_the_noncentral_ts(designed):
    design = designed(
        arms={"control": {"patients": 12}, "treated": {"patients": 12, "effect": [0, -1.0]}},
        visits={"V1": 0, "V2": 28},
        mean=None,
        drop_out={},
        simulations=300,
    )
    rows = simulate_trials(design, "design", range(300))
    population = Population.of(design)
    for row in rows[:20]:
        y = population.trial(1, row.trial, effective=True)[:, 1]
        test = stats.ttest_ind(y[12:], y[:12])
        assert np.isclose(row.p, test.pvalue, rtol=1e-6)
        assert np.isclose(row.df, 22, rtol=1e-6)
    reach = stats.t.isf(0.025, 22)
    shift = 1.0 / np.sqrt(2 / 12)
    power = stats.nct.sf(reach, 22, shift) + stats.nct.cdf(-reach, 22, shift)
    found = figures(design, rows + simulate_trials(design, "null", range(2)))[("design", "power")]
    assert stats.binomtest(round(found["value"] * 300), 300, power).pvalue > 0.001


def test_type_one_error_and_coverage_of_the_default_analysis(designed):
    """Unstructured covariance, Kenward–Roger, 10 patients an arm, 5 visits, 22 % drop-out."""
    trials = 300
    arms = {"control": {"patients": 10}, "treated": {"patients": 10}}
    design = designed(arms=arms, simulations=trials)
    assert scenarios(design) == ("null",)
    rows = simulate_trials(design, "null", range(trials))
    found = figures(design, rows)
    assert found[("null", "failed_share")]["value"] <= 0.01
    for statistic, nominal in (("type_i_error", 0.05), ("coverage", 0.95)):
        figure = found[("null", statistic)]
        low, high = stats.binom.interval(0.999, figure["n"], nominal)
        assert low <= round(figure["value"] * figure["n"]) <= high, statistic
    bias = found[("null", "bias")]
    assert abs(bias["value"]) < 3.3 * bias["monte_carlo_se"]


def test_rows_do_not_depend_on_the_other_trials(designed):
    design = designed()
    alone = simulate_trials(design, "design", [4])
    assert alone == simulate_trials(design, "design", range(3, 6))[1:2]


def test_fits_that_fell_back_or_failed_are_counted(designed):
    arms = {"control": {"patients": 2}, "treated": {"patients": 2}}
    design = designed(arms=arms, drop_out={"share": 0.6}, simulations=15)
    rows = simulate_trials(design, "null", range(15))
    assert len(rows) == 15
    by_status = {status: [row for row in rows if row.status == status] for status in ("ok", "fallback", "failed")}
    assert by_status["fallback"]
    assert by_status["failed"]
    assert all(row.reason and np.isnan(row.p) for row in by_status["failed"])
    assert all(row.reason.startswith("us: ") and row.structure != "us" for row in by_status["fallback"])
    found = figures(design, rows)
    for status in ("fallback", "failed"):
        assert found[("null", f"{status}_share")]["value"] == len(by_status[status]) / 15
    assert found[("null", "type_i_error")]["n"] == 15 - len(by_status["failed"])
    assert f"{len(by_status['failed'])} of 15 trials gave no result" in found[("null", "type_i_error")]["note"]


def test_a_covariance_on_its_boundary_is_counted(designed):
    design = designed(
        covariance={"structure": "random_slope", "intercept_sd": 0.0, "slope_sd_per_day": 0.0, "residual_sd": 1.0},
        analysis={"model": "random_slope", "contrast": "slope"},
    )
    rows = simulate_trials(design, "null", range(20))
    assert {"singular", "ok"} >= {row.status for row in rows} >= {"singular"}
