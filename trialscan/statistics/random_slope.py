"""The random-intercept-and-slope model at each patient's own times."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.design import build_design
from trialscan.statistics.inference import (
    FixedDf,
    Inference,
    KenwardRoger,
    Satterthwaite,
    Sensitivity,
    adjusted_vcov,
)
from trialscan.statistics.mmrm.fit import DF_METHODS
from trialscan.statistics.reml import METHOD
from trialscan.statistics.results import Convergence, MixedModelResult, SlopeCovariance
from trialscan.statistics.slope_likelihood import Evaluation, SlopeLikelihood
from trialscan.statistics.slope_minimum import START_SIZES, Minimum, find_minimum
from trialscan.statistics.slope_moments import Scales, slope_moments

Array = NDArray[np.float64]
Information = Literal["observed", "expected"]


def fit_random_slope(
    data: pd.DataFrame,
    formula: str,
    *,
    patient: str,
    time: str,
    df: str = "kenward-roger",
    reml: bool = True,
    information: Information | None = None,
    alpha: float = 0.05,
) -> MixedModelResult:
    """Fit y = X b + u0 + u1 · time + e with an unstructured covariance G of (u0, u1) and residual variance s2.

    Parameters
    ----------
    data : a row for each patient and time, in any order; times may differ from patient to patient.
    formula : fixed effects, `outcome ~ terms`, as formulaic reads it.
    patient, time : the columns with the patient and the numeric time.
    df : "kenward-roger" (Kenward & Roger 1997; V is linear in its parameters, so its linear version is the same and
        "kenward-roger-linear" another name), "satterthwaite", "residual" (rows less coefficients) or "asymptotic"
        (normal).
    reml : restricted (True) or full maximum likelihood.
    information : covariance of the covariance parameters from the "observed" (as SAS and lmerTest) or "expected"
        information (as pbkrtest). None takes the observed, or the expected where the covariance is singular, for there
        the observed one need not be positive definite.
    alpha : intervals cover 1 − alpha.

    A covariance on the boundary (an intercept or slope variance of zero, a correlation of ±1) is a valid estimate and
    is reported as `convergence.singular`.

    Raises
    ------
    StatisticsError : faults of the table (see `build_design`); a model that the data cannot identify; an unknown `df`;
        a fit that did not converge.
    """
    if df not in DF_METHODS:
        raise StatisticsError(f"df={df!r}", "not available", f"one of {', '.join(DF_METHODS)}")
    if information not in (None, "observed", "expected"):
        raise StatisticsError(f"information={information!r}", "not available", "'observed' or 'expected'")
    if not 0 < alpha < 1:
        raise StatisticsError(f"alpha={alpha!r}", "not a probability between 0 and 1", "for example 0.05")
    design = build_design(data, formula, patient=patient, time=time)
    moments, scales = slope_moments(design)
    likelihood = SlopeLikelihood(moments, reml=reml)
    minimum = find_minimum(likelihood)
    evaluation = likelihood(minimum.phi)
    n_obs, n_fixed = design.X.shape
    free = n_obs - n_fixed if reml else n_obs
    constant = 2 * free * np.log(scales.y_scale) + (2 * scales.log_det_r if reml else 0.0)
    chosen: Information = information or ("expected" if minimum.singular else "observed")
    inverse = np.asarray(np.linalg.inv(design.basis.R))
    return MixedModelResult(
        formula=design.formula,
        patient=patient,
        time=time,
        reml=reml,
        inference=_inference(evaluation, scales.y_scale * inverse, df, chosen, float(n_obs - n_fixed)),
        alpha=alpha,
        names=design.names,
        beta=inverse @ (scales.ols + scales.y_scale * evaluation.beta),
        covariance=_covariance(minimum.phi, scales),
        minus2loglik=evaluation.value + float(constant),
        convergence=_convergence(minimum, n_obs),
        n_obs=n_obs,
        n_patients=len(design.patients),
        n_missing_outcome=design.n_missing_outcome,
        design=design,
    )


def _inference(evaluation: Evaluation, back: Array, df: str, information: Information, residual: float) -> Inference:
    """The inference asked for; `back` (p, p) leads from working to original coefficients."""

    def original(values: Array) -> Array:
        out = back @ values @ back.T
        return np.asarray((out + np.swapaxes(out, -1, -2)) / 2)

    vcov = original(evaluation.vcov)
    if df == "asymptotic":
        return FixedDf("asymptotic (normal) inference", vcov, np.inf)
    if df == "residual":
        return FixedDf("residual degrees of freedom", vcov, residual)
    W = np.asarray(2 * np.linalg.inv(evaluation.hessian if information == "observed" else evaluation.expected))
    moved = np.einsum("ab,kbc,cd->kad", evaluation.vcov, evaluation.P, evaluation.vcov)
    found = Sensitivity(vcov, original(moved), W)
    if df == "satterthwaite":
        return Satterthwaite(f"Satterthwaite degrees of freedom, {information} information", found)
    Q = np.asarray(np.tensordot(W, evaluation.Q, axes=2))
    adjusted = adjusted_vcov(Sensitivity(evaluation.vcov, moved, W), evaluation.P, Q, 0.0)
    return KenwardRoger(f"Kenward–Roger, natural parameters, {information} information", found, original(adjusted))


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
        iterations={"bfgs": minimum.bfgs_iterations, "newton": minimum.newton_iterations},
        evaluations=minimum.evaluations,
        method=METHOD,
        parameterisation=minimum.parameterisation,
        singular=minimum.singular,
    )
