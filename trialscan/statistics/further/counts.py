"""Counts over an exposure: negative binomial and Poisson regression, with checks of dispersion and excess zeros."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.discrete.discrete_model import CountResults, NegativeBinomial, Poisson
from statsmodels.tools.sm_exceptions import ConvergenceWarning, HessianInversionWarning

from trialscan.errors import StatisticsError
from trialscan.statistics.further.table import ArmTable, arm_table, ratios, wald_table
from trialscan.statistics.further.zeros import zero_inflation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CountAnalysis:
    """What a count regression found.

    model: "negative binomial" or "Poisson" (taken where the data show no over-dispersion). coefficients: log rates.
    rate_ratios: a row each other arm: estimate, lower, upper, p. dispersion: the negative binomial's alpha (variance =
    mean + alpha mean²), 0 for Poisson. overdispersion_p: score test of alpha = 0 in the Poisson fit, one-sided (Dean
    1992); below the level of the intervals the model is negative binomial. zeros: a row an arm, observed and expected
    patients without a count. zero_inflation_chi2, _p: score test that the model has the right number of them (van den
    Broek 1995 for Poisson, the same for the negative binomial). on_dispersion, on_zeros: what was found, in words.
    """

    model: str
    coefficients: pd.DataFrame
    rate_ratios: pd.DataFrame
    dispersion: float
    overdispersion_p: float
    zeros: pd.DataFrame
    zero_inflation_chi2: float
    zero_inflation_p: float
    minus2loglik: float
    alpha: float

    @property
    def on_dispersion(self) -> str:
        """What the check of dispersion found."""
        test = f"over-dispersion in the Poisson fit: score test p = {self.overdispersion_p:.3g}, one-sided"
        if self.model == "Poisson":
            return f"{test}; not shown at {self.alpha:g}, so the model is Poisson"
        return f"{test}; so the model is negative binomial, variance = mean + {self.dispersion:.3g} mean²"

    @property
    def on_zeros(self) -> str:
        """What the check of zeros found."""
        observed, expected = self.zeros["observed"].sum(), self.zeros["expected"].sum()
        found = "as many as the model expects"
        if self.zero_inflation_p < self.alpha:
            kind = "more (zero inflation)" if observed > expected else "fewer (zero deflation)"
            found = f"{kind} than the model expects; read the rates with caution"
        return f"{observed} patients without a count, {expected:.1f} expected: {found}, p = {self.zero_inflation_p:.3g}"


def analyse_counts(
    data: pd.DataFrame,
    *,
    patient: str,
    arm: str,
    count: str,
    exposure: str,
    reference: str | None = None,
    covariates: Sequence[str] = (),
    alpha: float = 0.05,
) -> CountAnalysis:
    """Compare rates, `count` events over `exposure` (time under observation), a row a patient.

    Raises
    ------
    StatisticsError : faults of the table (see `arm_table`); a count that is no whole number ≥ 0; an exposure that is
        not positive; no event at all; a fit that did not converge.
    """
    table = arm_table(
        data, patient=patient, arm=arm, reference=reference, covariates=covariates, numbers=[count, exposure]
    )
    _refuse_impossible(table, count, exposure)
    y, time = table.columns[count], table.columns[exposure]
    fit, dispersion = _fitted(Poisson(y, table.X, exposure=time), None), 0.0
    rate = time * np.exp(table.X @ np.asarray(fit.params))
    overdispersion_p = float(stats.norm.sf(np.sum((y - rate) ** 2 - y) / np.sqrt(2 * np.sum(rate**2))))
    if overdispersion_p < alpha:
        fit = _fitted(NegativeBinomial(y, table.X, exposure=time), np.append(np.asarray(fit.params), 0.5))
        dispersion = float(fit.params[-1])
    beta, se = (np.asarray(each)[: len(table.names)] for each in (fit.params, fit.bse))
    coefficients = wald_table(table.names, beta, se, alpha)
    zeros = zero_inflation(y, table.X, time * np.exp(table.X @ beta), dispersion)
    by_arm = pd.DataFrame({"observed": zeros.observed, "expected": zeros.expected}).groupby(table.arm).sum()
    return CountAnalysis(
        model="negative binomial" if dispersion else "Poisson",
        coefficients=coefficients,
        rate_ratios=ratios(coefficients, table),
        dispersion=dispersion,
        overdispersion_p=overdispersion_p,
        zeros=by_arm.set_axis(pd.Index(table.arms, name="arm")),
        zero_inflation_chi2=zeros.chi2,
        zero_inflation_p=zeros.p,
        minus2loglik=-2 * float(fit.llf),
        alpha=alpha,
    )


def _refuse_impossible(table: ArmTable, count: str, exposure: str) -> None:
    y, time = table.columns[count], table.columns[exposure]
    for name, wrong, expected in (
        (count, (y < 0) | (y != np.round(y)), "whole numbers from 0 on"),
        (exposure, time <= 0, "a time above zero"),
    ):
        if wrong.any():
            who = table.patients[int(np.argmax(wrong))]
            raise StatisticsError(f"column {name!r}", f"patient {who} has {table.columns[name][wrong][0]:g}", expected)
    if not y.any():
        raise StatisticsError(f"column {count!r}", "no event in any patient", "some events")


def _fitted(model: Poisson | NegativeBinomial, start: Array | None) -> CountResults:
    """A converged fit; with a `start` by BFGS, as the negative binomial needs: Newton's method there returns NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HessianInversionWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        how = {"method": "newton", "tol": 1e-10} if start is None else {"method": "bfgs", "gtol": 1e-8}
        fit: CountResults = model.fit(start_params=start, maxiter=2000, disp=0, **how)
    gradient = float(np.max(np.abs(model.score(np.asarray(fit.params)))))
    if not np.isfinite(np.asarray(fit.bse)).all() or not gradient < 1e-3 * len(model.endog):
        raise StatisticsError(
            "count regression", f"the fit did not converge (gradient {gradient:.3g})", "a maximum of the likelihood"
        )
    return fit
