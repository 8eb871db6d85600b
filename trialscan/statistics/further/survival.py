"""Time to an event: Kaplan–Meier, log-rank and Cox regression, by lifelines."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from lifelines.statistics import multivariate_logrank_test
from lifelines.utils import median_survival_times

from trialscan.errors import StatisticsError
from trialscan.statistics.further.table import arm_table, ratios, wald_table


@dataclass(frozen=True)
class EventAnalysis:
    """What a time-to-event analysis found.

    kaplan_meier: a row an arm and time with events: at_risk, events, survival, lower, upper (log(−log) intervals).
    medians: a row an arm, the median time with lower and upper, infinite where the curve or its interval does not reach
    one half. logrank: chi-square, degrees of freedom, p.
    coefficients: Cox regression, log hazards, ties by Efron's method. hazard_ratios: a row each other arm.
    """

    kaplan_meier: pd.DataFrame
    medians: pd.DataFrame
    logrank: tuple[float, int, float]
    coefficients: pd.DataFrame
    hazard_ratios: pd.DataFrame


def analyse_events(
    data: pd.DataFrame,
    *,
    patient: str,
    arm: str,
    time: str,
    event: str,
    reference: str | None = None,
    covariates: Sequence[str] = (),
    alpha: float = 0.05,
) -> EventAnalysis:
    """Compare times to an event; `event` is 1 where it happened at `time`, 0 where the patient was last seen then.

    Raises
    ------
    StatisticsError : faults of the table (see `arm_table`); a time below zero; an event that is not 0 or 1; no event;
        a Cox regression without a maximum.
    """
    table = arm_table(data, patient=patient, arm=arm, reference=reference, covariates=covariates, numbers=[time, event])
    times, events = table.columns[time], table.columns[event]
    if (times < 0).any():
        who = table.patients[int(np.argmax(times < 0))]
        raise StatisticsError(f"column {time!r}", f"patient {who} has {times[times < 0][0]:g}", "a time from 0 on")
    if not np.isin(events, (0.0, 1.0)).all():
        raise StatisticsError(f"column {event!r}", "a value that is neither 0 nor 1", "0 or 1")
    if not events.any():
        raise StatisticsError(f"column {event!r}", "no event in any patient", "some events")
    curves, medians = [], {}
    for index, name in enumerate(table.arms):
        mine = table.arm == index
        fitter = KaplanMeierFitter(alpha=alpha).fit(times[mine], events[mine])
        curves.append(_curve(fitter, name))
        medians[name] = _median(fitter)
    test = multivariate_logrank_test(times, table.arm, events)
    coefficients = _cox(table.X[:, 1:], table.names[1:], times, events, alpha)
    return EventAnalysis(
        kaplan_meier=pd.concat(curves),
        medians=pd.DataFrame.from_dict(medians, orient="index").rename_axis("arm"),
        logrank=(float(test.test_statistic), len(table.arms) - 1, float(test.p_value)),
        coefficients=coefficients,
        hazard_ratios=ratios(coefficients, table),
    )


def _median(fitter: KaplanMeierFitter) -> dict[str, float]:
    """Median and its interval (Brookmeyer & Crowley 1982)."""
    limits = median_survival_times(fitter.confidence_interval_survival_function_).to_numpy(np.float64)[0]
    return {"median": float(fitter.median_survival_time_), "lower": float(limits[0]), "upper": float(limits[1])}


def _curve(fitter: KaplanMeierFitter, arm: str) -> pd.DataFrame:
    counts = fitter.event_table
    counts = counts[counts["observed"] > 0]
    limits = fitter.confidence_interval_survival_function_.loc[counts.index].to_numpy()
    frame = pd.DataFrame(
        {
            "at_risk": counts["at_risk"].to_numpy(int),
            "events": counts["observed"].to_numpy(int),
            "survival": fitter.survival_function_.loc[counts.index].to_numpy()[:, 0],
            "lower": limits[:, 0],
            "upper": limits[:, 1],
        }
    )
    return frame.set_index(pd.MultiIndex.from_product([[arm], counts.index], names=["arm", "time"]))


def _cox(X: np.ndarray, names: Sequence[str], times: np.ndarray, events: np.ndarray, alpha: float) -> pd.DataFrame:
    frame = pd.DataFrame(X, columns=list(names)).assign(**{"(time)": times, "(event)": events})
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            fit = CoxPHFitter(alpha=alpha).fit(
                frame, "(time)", "(event)", fit_options={"precision": 1e-12, "max_steps": 500}
            )
        except (ConvergenceError, ConvergenceWarning) as error:
            raise StatisticsError("Cox regression", f"no maximum: {str(error).splitlines()[0]}", "a maximum") from error
    return wald_table(names, fit.params_.to_numpy(), fit.standard_errors_.to_numpy(), alpha)
