"""The independent check agrees where the fit is right, and says so where it is not."""

from dataclasses import replace

import numpy as np

from trialscan.statistics import check_random_slope, fit_random_slope


def fit(table, **settings):
    return fit_random_slope(table, "y ~ arm * day", patient="id", time="day", **settings)


def test_agrees_by_reml_and_ml_on_any_scale(trial):
    for reml in (True, False):
        for table in (trial, trial.assign(y=500 * trial["y"] + 1e4, day=trial["day"] + 500)):
            check = check_random_slope(fit(table, reml=reml))
            assert check.verdict == "agrees", check
            assert check.loglik_difference < 1e-6  # it never finds more than we did


def test_differs_from_a_wrong_result(trial):
    result = fit(trial)
    assert check_random_slope(replace(result, minus2loglik=result.minus2loglik + 0.01)).verdict == "differs"
    assert check_random_slope(replace(result, beta=result.beta * 1.1)).verdict == "differs"


def test_warnings_of_the_other_program_are_kept_as_evidence(trial):
    rng = np.random.default_rng(2)
    noise = trial.assign(y=rng.normal(size=len(trial)))
    check = check_random_slope(fit(noise))
    assert check.messages == tuple(sorted(check.messages))
    assert check.verdict in {"agrees", "differs", "failed"}
    assert any("boundary" in message or "ingular" in message for message in check.messages), check
    assert check.record()["messages"] == list(check.messages)
