"""The random-intercept-and-slope model at each patient's own times."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.design import Design, build_design
from trialscan.statistics.reml import METHOD
from trialscan.statistics.results import ASYMPTOTIC, Convergence, MixedModelResult, SlopeCovariance
from trialscan.statistics.slope_likelihood import Evaluation, SlopeLikelihood
from trialscan.statistics.slope_minimum import START_SIZES, Minimum, find_minimum
from trialscan.statistics.slope_moments import Scales, slope_moments

Array = NDArray[np.float64]


def fit_random_slope(
    data: pd.DataFrame,
    formula: str,
    *,
    patient: str,
    time: str,
    df: str = "asymptotic",
    reml: bool = True,
    alpha: float = 0.05,
) -> MixedModelResult:
    """Fit y = X b + u0 + u1 · time + e with an unstructured covariance G of (u0, u1) and residual variance s2.

    Parameters
    ----------
    data : a row for each patient and time, in any order; times may differ from patient to patient.
    formula : fixed effects, `outcome ~ terms`, as formulaic reads it.
    patient, time : the columns with the patient and the numeric time.
    df : degrees of freedom of t; only "asymptotic" (infinite: normal z) is offered.
    reml : restricted (True) or full maximum likelihood.
    alpha : intervals cover 1 − alpha.

    The standard errors are those of (X'V⁻¹X)⁻¹ at the estimated covariance; being asymptotic, they and the p-values
    are too optimistic with few patients. A covariance on the boundary (an intercept or slope variance of zero, a
    correlation of ±1) is a valid estimate and is reported as `convergence.singular`.

    Raises
    ------
    StatisticsError : faults of the table (see `build_design`); a model that the data cannot identify; an unknown `df`;
        a fit that did not converge.
    """
    if df != "asymptotic":
        raise StatisticsError(f"df={df!r}", "not available", "'asymptotic'", "Inference is by the normal distribution")
    if not 0 < alpha < 1:
        raise StatisticsError(f"alpha={alpha!r}", "not a probability between 0 and 1", "for example 0.05")
    design = build_design(data, formula, patient=patient, time=time)
    moments, scales = slope_moments(design)
    likelihood = SlopeLikelihood(moments, reml=reml)
    minimum = find_minimum(likelihood)
    return _result(design, likelihood, scales, minimum, patient=patient, time=time, alpha=alpha)


def _result(
    design: Design,
    likelihood: SlopeLikelihood,
    scales: Scales,
    minimum: Minimum,
    *,
    patient: str,
    time: str,
    alpha: float,
) -> MixedModelResult:
    evaluation = likelihood(minimum.phi)
    beta, vcov = _fixed_effects(design, scales, evaluation)
    n_obs, n_fixed = design.X.shape
    free = n_obs - n_fixed if likelihood.reml else n_obs
    constant = 2 * free * np.log(scales.y_scale) + (2 * scales.log_det_r if likelihood.reml else 0.0)
    return MixedModelResult(
        formula=design.formula,
        patient=patient,
        time=time,
        reml=likelihood.reml,
        inference=ASYMPTOTIC,
        alpha=alpha,
        names=design.names,
        beta=beta,
        vcov=vcov,
        covariance=_covariance(minimum.phi, scales),
        minus2loglik=evaluation.value + float(constant),
        convergence=_convergence(minimum, n_obs),
        n_obs=n_obs,
        n_patients=len(design.patients),
        n_missing_outcome=design.n_missing_outcome,
        design=design,
    )


def _fixed_effects(design: Design, scales: Scales, evaluation: Evaluation) -> tuple[Array, Array]:
    inverse = np.linalg.inv(design.basis.R)
    beta = inverse @ (scales.ols + scales.y_scale * evaluation.beta)
    vcov = scales.y_scale**2 * (inverse @ evaluation.vcov @ inverse.T)
    return beta, (vcov + vcov.T) / 2


def _covariance(phi: Array, scales: Scales) -> SlopeCovariance:
    """From the working scale to the data's: y = y_scale y*, t = center + time_scale t*."""
    T = np.array([[1.0, -scales.time_center / scales.time_scale], [0.0, 1.0 / scales.time_scale]])
    G = T @ np.array([[phi[0], phi[1]], [phi[1], phi[2]]]) @ T.T * scales.y_scale**2
    return SlopeCovariance((G + G.T) / 2, float(phi[3]) * scales.y_scale**2)


def _convergence(minimum: Minimum, n_obs: int) -> Convergence:
    point = minimum.point
    return Convergence(
        gradient_norm=point.gradient_norm,
        relative_gradient=point.gradient_norm / n_obs,
        hessian_eigenvalues=tuple(float(value) for value in np.linalg.eigvalsh(point.hessian)),
        starts=len(START_SIZES),
        bfgs_iterations=minimum.bfgs_iterations,
        newton_iterations=minimum.newton_iterations,
        evaluations=minimum.evaluations,
        method=METHOD,
        parameterisation=minimum.parameterisation,
        singular=minimum.singular,
    )
