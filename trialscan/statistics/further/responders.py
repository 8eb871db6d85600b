"""Responder analysis: logistic regression, risk differences with Newcombe's interval, Fisher's exact test."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.discrete.discrete_model import Logit
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.tools.sm_exceptions import ConvergenceWarning, PerfectSeparationError, PerfectSeparationWarning

from trialscan.errors import StatisticsError
from trialscan.statistics.further.table import arm_table, wald_table


@dataclass(frozen=True)
class ResponderAnalysis:
    """What a responder analysis found.

    counts: responders and patients by arm. coefficients: of the logistic regression, log odds. comparisons: a row each
    other arm with odds_ratio, its interval and p (Wald), risk_difference with Newcombe's hybrid score interval (1998,
    method 10), and fisher_p. `absent` says why there is no regression.
    """

    counts: pd.DataFrame
    coefficients: pd.DataFrame | None
    comparisons: pd.DataFrame
    absent: str | None


def analyse_responders(
    data: pd.DataFrame,
    *,
    patient: str,
    arm: str,
    response: str,
    reference: str | None = None,
    covariates: Sequence[str] = (),
    alpha: float = 0.05,
) -> ResponderAnalysis:
    """Compare the shares of responders; a row a patient, `response` 0 or 1 (a missing response must be decided first).

    Raises
    ------
    StatisticsError : faults of the table (see `arm_table`); a response that is not 0 or 1.
    """
    table = arm_table(data, patient=patient, arm=arm, reference=reference, covariates=covariates, numbers=[response])
    y = table.columns[response]
    if not np.isin(y, (0.0, 1.0)).all():
        raise StatisticsError(f"column {response!r}", f"value {y[~np.isin(y, (0.0, 1.0))][0]:g}", "0 or 1")
    patients = np.bincount(table.arm, minlength=len(table.arms))
    responders = np.bincount(table.arm, weights=y, minlength=len(table.arms)).astype(int)
    counts = pd.DataFrame({"responders": responders, "patients": patients}, index=pd.Index(table.arms, name="arm"))
    coefficients, absent = _logistic(table.X, y, table.names, alpha)
    rows = {}
    for index, (name, other) in enumerate(table.comparisons.items(), start=1):
        a, n, b, m = (int(v) for v in (responders[index], patients[index], responders[0], patients[0]))
        low, high = confint_proportions_2indep(a, n, b, m, method="newcomb", compare="diff", alpha=alpha)
        row = {"risk_difference": a / n - b / m, "risk_difference_lower": low, "risk_difference_upper": high}
        row["fisher_p"] = float(stats.fisher_exact(np.array([[a, n - a], [b, m - b]])).pvalue)
        if coefficients is not None:
            logit = coefficients.loc[name]
            row |= {"odds_ratio": np.exp(logit["estimate"]), "odds_ratio_lower": np.exp(logit["lower"])}
            row |= {"odds_ratio_upper": np.exp(logit["upper"]), "odds_ratio_p": logit["p"]}
        rows[other] = row
    return ResponderAnalysis(counts, coefficients, pd.DataFrame(rows).T.rename_axis("arm"), absent)


def _logistic(
    X: np.ndarray, y: np.ndarray, names: Sequence[str], alpha: float
) -> tuple[pd.DataFrame | None, str | None]:
    """Maximum likelihood by Newton's method, or the reason why it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.simplefilter("error", PerfectSeparationWarning)
        try:
            fit = Logit(y, X).fit(method="newton", maxiter=100, tol=1e-12, disp=0)
        except (ConvergenceWarning, PerfectSeparationError, PerfectSeparationWarning, np.linalg.LinAlgError) as error:
            return None, f"no maximum of the logistic likelihood (statsmodels: {str(error).rstrip('.')})"
    return wald_table(names, np.asarray(fit.params), np.asarray(fit.bse), alpha), None
