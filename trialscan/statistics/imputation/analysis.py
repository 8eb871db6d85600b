"""Comparison of arms with missing outcomes imputed under assumptions about what follows an intercurrent event.

The imputation model is an MMRM by REML on what was observed; each visit of the completed data is analysed by ANCOVA.
`conditional_mean` puts conditional means in place of missing outcomes and takes standard errors from the jackknife over
patients, the imputation model included: no random draws, and normal inference as in R's rbmi. `rubin` draws them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed, require_columns
from trialscan.statistics.imputation.jackknife import jackknife
from trialscan.statistics.imputation.model import ImputationModel
from trialscan.statistics.imputation.pooled import Estimates
from trialscan.statistics.imputation.problem import Keys, Problem, build_problem
from trialscan.statistics.imputation.rubin import multiple_imputation
from trialscan.statistics.imputation.strategies import STRATEGIES
from trialscan.statistics.mmrm.design import declared_order

Method = Literal["conditional_mean", "rubin"]


@dataclass(frozen=True)
class ReferenceBasedResult:
    """Differences and adjusted means under each strategy.

    `differences` is indexed by (strategy, arm, visit), `adjusted_means` likewise with the reference arm too; columns
    estimate, se, z (with Rubin's rules df and t), p, lower, upper. `imputed` (patient, visit) holds the imputed
    outcomes by strategy, with `rubin` their means over the imputations. `covariance` is the structure of the imputation
    model and `fallback` says why those asked for before it were not taken. `n_refits` counts the fits of the imputation
    model to other choices of patients, `n_redrawn` samples that were replaced because it could not be fitted to them.
    `problem` and `estimates` are what delta adjustment starts from (`tipping_points`).
    """

    formula: str
    analysis: str
    reference: str
    strategies: tuple[str, ...]
    differences: pd.DataFrame
    adjusted_means: pd.DataFrame
    imputed: pd.DataFrame
    covariance: str
    fallback: tuple[str, ...]
    n_refits: int
    n_redrawn: int
    alpha: float
    problem: Problem
    estimates: dict[str, Estimates]


def reference_based(
    data: pd.DataFrame,
    formula: str,
    *,
    patient: str,
    visit: str,
    arm: str,
    reference: str,
    first_affected: str,
    covariates: Sequence[str] = (),
    strategies: Sequence[str] = tuple(STRATEGIES),
    visit_order: Sequence[str] | None = None,
    covariance: str | Sequence[str] = "us",
    method: Method = "conditional_mean",
    imputations: int = 100,
    seed: int = 1,
    alpha: float = 0.05,
) -> ReferenceBasedResult:
    """Compare arms with missing outcomes imputed under each strategy.

    Parameters
    ----------
    data : a row for every patient and visit, those without an outcome included (their covariates are needed).
    formula : the imputation model, `outcome ~ terms`, with the arm and the visit among the terms.
    patient, visit, arm, reference : columns, and the arm to compare with.
    first_affected : a column with the first visit that the patient's intercurrent event affects; missing for none.
        Outcomes missing before it, or without an event, are imputed as MAR under every strategy. Outcomes observed
        from it on are kept as they are; the imputation model of strategies other than MAR is fitted without them.
        (To give them up, as a hypothetical strategy does, leave them empty.)
    covariates : columns of the ANCOVA at each visit, besides the arm, constant within a patient; numbers or names.
    strategies : some of MAR, JR, CIR, CR, LMCF.
    covariance : of the imputation model; of several, the first that can be fitted, all refits included.
    method : conditional_mean, or rubin with that many `imputations` (two or more) drawn from `seed`.
    alpha : intervals cover 1 − alpha.

    Raises
    ------
    StatisticsError : faults of the table or the formula; a patient without a row for a visit; an event at an unknown
        visit; an unknown arm or strategy; a fit that did not converge, naming the patient it was made without.
    """
    settings = _Settings(tuple(strategies), method, imputations, seed, alpha)
    require_columns(data, (patient, visit))
    order = declared_order(data[visit], visit, visit_order)
    problem = build_problem(data, formula, Keys(patient, visit, arm, reference, first_affected, order), covariates)
    names = (covariance,) if isinstance(covariance, str) else tuple(covariance)
    with threadpool_limits(limits=1, user_api="blas"):
        found = _first_that_fits(problem, names, settings)
    return _result(problem, found, settings)


@dataclass(frozen=True)
class _Settings:
    """How outcomes are imputed and what is inferred from them."""

    strategies: tuple[str, ...]
    method: Method
    imputations: int
    seed: int
    alpha: float

    def __post_init__(self) -> None:
        """Refuse what is not offered."""
        if unknown := [name for name in self.strategies if name not in STRATEGIES]:
            raise StatisticsError(f"strategy {listed(unknown)}", "not known", f"one of {', '.join(STRATEGIES)}")
        if not self.strategies:
            raise StatisticsError("strategies", "none", f"some of {', '.join(STRATEGIES)}")
        if self.method not in ("conditional_mean", "rubin"):
            raise StatisticsError("method", f"{self.method!r}", "'conditional_mean' or 'rubin'")
        if self.imputations < 2:
            raise StatisticsError("imputations", f"{self.imputations}", "two or more")

    def words(self, patients: int) -> str:
        """The analysis, to be printed."""
        if self.method == "conditional_mean":
            return (
                "conditional-mean imputation, ANCOVA at each visit; "
                f"jackknife over {patients} patients; normal inference"
            )
        return (
            f"{self.imputations} imputations (seed {self.seed}) from refits to bootstrap samples of the patients, "
            "ANCOVA at each visit; Rubin's rules, degrees of freedom by Barnard and Rubin"
        )


@dataclass(frozen=True)
class _Found:
    """Estimates by strategy, the structure they were had with, and why not with those before it."""

    estimates: dict[str, Estimates]
    covariance: str
    fallback: tuple[str, ...]
    n_refits: int
    n_redrawn: int


def _first_that_fits(problem: Problem, names: Sequence[str], settings: _Settings) -> _Found:
    reasons: list[str] = []
    for name in names[:-1]:
        try:
            return _with_structure(problem, name, tuple(reasons), settings)
        except StatisticsError as error:
            reasons.append(f"{name}: {error}")
    return _with_structure(problem, names[-1], tuple(reasons), settings)


def _with_structure(problem: Problem, name: str, reasons: tuple[str, ...], settings: _Settings) -> _Found:
    estimates: dict[str, Estimates] = {}
    refits = redrawn = 0
    for data, strategies in problem.models(settings.strategies):
        model = ImputationModel(data.design, name)
        if settings.method == "conditional_mean":
            estimates |= jackknife(problem, data.courses, model, strategies)
            refits += len(data.design.patients)
        else:
            drawn, again = multiple_imputation(
                problem, data.courses, model, strategies, imputations=settings.imputations, seed=settings.seed
            )
            estimates |= drawn
            refits, redrawn = refits + settings.imputations + again, redrawn + again
    return _Found(estimates, name, reasons, refits, redrawn)


def _result(problem: Problem, found: _Found, settings: _Settings) -> ReferenceBasedResult:
    visits, others = problem.visits, problem.arms[1:]
    differences, means, imputed = [], [], []
    patients, places = np.nonzero(problem.missing)
    for name in settings.strategies:
        pooled = found.estimates[name].pooled()
        compared, all_arms = (
            pd.MultiIndex.from_product([[name], arms, visits], names=["strategy", "arm", "visit"])
            for arms in (others, problem.arms)
        )
        differences.append(pooled.part(slice(0, len(others))).table(compared, settings.alpha))
        means.append(pooled.part(slice(len(others), None)).table(all_arms, settings.alpha))
        imputed.append(pd.Series(found.estimates[name].completed[problem.missing], name=name))
    index = pd.MultiIndex.from_arrays(
        [[problem.patients[i] for i in patients], [visits[j] for j in places]], names=["patient", "visit"]
    )
    return ReferenceBasedResult(
        formula=problem.kept.design.formula,
        analysis=settings.words(len(problem.patients)),
        reference=problem.arms[0],
        strategies=settings.strategies,
        differences=pd.concat(differences),
        adjusted_means=pd.concat(means),
        imputed=pd.concat(imputed, axis=1).set_axis(index),
        covariance=found.covariance,
        fallback=found.fallback,
        n_refits=found.n_refits,
        n_redrawn=found.n_redrawn,
        alpha=settings.alpha,
        problem=problem,
        estimates=found.estimates,
    )
