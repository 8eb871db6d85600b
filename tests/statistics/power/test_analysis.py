"""The simulation's analysis is the engine's: the same bits as a table handed to the fitting functions."""

import numpy as np
import pandas as pd
import pytest

from trialscan.errors import StatisticsError
from trialscan.statistics import fit_mmrm, fit_random_slope
from trialscan.statistics.power import TrialAnalysis
from trialscan.statistics.power.draw import Population

THREE = {
    "zero": {"patients": 9},
    "low": {"patients": 7, "effect_per_day": -0.005},
    "high": {"patients": 8, "effect_per_day": -0.01},
}


def fitted(design, number=0):
    analysis = TrialAnalysis.of(design)
    outcomes = Population.of(design).trial(1, number, effective=True)
    shuffled = analysis.table(outcomes).sample(frac=1, random_state=3)
    return analysis, analysis.fit(outcomes), shuffled


@pytest.mark.parametrize("baseline", [False, True])
def test_mmrm_of_the_last_visit(designed, baseline):
    design = designed(arms=THREE, reference="zero", analysis={"baseline": baseline, "alpha": 0.1})
    analysis, result, table = fitted(design)
    engine = fit_mmrm(table, analysis.formula, patient="patient", visit="visit", alpha=0.1)
    differences = engine.lsmeans_differences("arm", "visit", reference="zero").xs("V5", level="visit")
    found = result.contrasts(analysis.weights)
    pd.testing.assert_frame_equal(found, engine.contrasts(analysis.weights), check_exact=True)
    pd.testing.assert_frame_equal(found, differences.loc[list(found.index)], check_names=False, rtol=1e-9)
    assert analysis.truth == pytest.approx({"low": -0.35, "high": -0.7})
    assert result.n_missing_outcome == engine.n_missing_outcome
    pd.testing.assert_frame_equal(result.design.frame[["value"]], engine.design.frame[["value"]])


def test_random_slope(designed):
    design = designed(arms=THREE, reference="zero", analysis={"model": "random_slope", "contrast": "slope"})
    analysis, result, table = fitted(design)
    engine = fit_random_slope(table, analysis.formula, patient="patient", time="day")
    found = result.contrasts(analysis.weights)
    slopes = engine.slope_differences("arm", "zero").loc[list(found.index)]
    pd.testing.assert_frame_equal(found, slopes, check_names=False, rtol=1e-9)
    assert analysis.truth == pytest.approx({"low": -0.005, "high": -0.01})


def test_a_slope_over_the_visits_of_an_mmrm(designed):
    design = designed(arms=THREE, reference="zero", drop_out={}, analysis={"contrast": "slope"})
    analysis, result, table = fitted(design)
    found = result.contrasts(analysis.weights)["estimate"]
    mean = table.groupby(["arm", "day"], observed=True)["value"].mean()
    slope = {arm: np.polyfit(design.days, mean[arm].to_numpy(), 1)[0] for arm in THREE}
    assert found.to_numpy() == pytest.approx([slope["low"] - slope["zero"], slope["high"] - slope["zero"]])
    assert analysis.truth == pytest.approx({"low": -0.005, "high": -0.01})


def test_what_the_data_do_not_allow_is_said(designed):
    analysis = TrialAnalysis.of(designed())
    outcomes = Population.of(designed(drop_out={})).trial(0, 0, effective=False)
    outcomes[10:, 4] = np.nan
    with pytest.raises(StatisticsError, match="aliased"):
        analysis.fit(outcomes)
