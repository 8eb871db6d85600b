"""The random-intercept-and-slope model at each patient's own times."""

from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.statistics.design import Design, build_design
from trialscan.statistics.inference import (
    DF_METHODS,
    Information,
    Sensitivity,
    WorkingFit,
    adjusted_vcov,
    choose_inference,
    refuse_options,
)
from trialscan.statistics.reml import METHOD
from trialscan.statistics.results import Convergence, MixedModelResult, SlopeCovariance
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
    df: str = "kenward-roger",
    reml: bool = True,
    information: Information | None = None,
    drop_aliased: bool = False,
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
        information (as Kenward & Roger and pbkrtest). None takes for each method what its R program does: the expected
        for Kenward–Roger, else the observed; and the expected where the covariance is singular, for there the observed
        one need not be positive definite.
    drop_aliased : leave columns out that repeat others, as `fit_mmrm` does, instead of refusing them.
    alpha : intervals cover 1 − alpha.

    A covariance on the boundary (an intercept or slope variance of zero, a correlation of ±1) is a valid estimate and
    is reported as `convergence.singular`.

    Raises
    ------
    StatisticsError : faults of the table (see `build_design`); a model that the data cannot identify; an unknown `df`;
        a fit that did not converge.
    """
    design = build_design(data, formula, patient=patient, time=time, drop_aliased=drop_aliased)
    return fit_slope_design(design, patient=patient, time=time, df=df, reml=reml, information=information, alpha=alpha)


def fit_slope_design(
    design: Design,
    *,
    patient: str,
    time: str,
    df: str = "kenward-roger",
    reml: bool = True,
    information: Information | None = None,
    alpha: float = 0.05,
) -> MixedModelResult:
    """`fit_random_slope` of a table that has been read already; `patient` and `time` name its columns in the result."""
    refuse_options(alpha, df=(df, DF_METHODS), information=(information, (None, "observed", "expected")))
    moments, scales = slope_moments(design)
    likelihood = SlopeLikelihood(moments, reml=reml)
    minimum = find_minimum(likelihood)
    evaluation = likelihood(minimum.phi)
    by_default: Information = "expected" if minimum.singular or df.startswith("kenward-roger") else "observed"
    kind = information or by_default
    working = _working(evaluation, design, scales, kind)
    return MixedModelResult(
        formula=design.formula,
        patient=patient,
        time=time,
        reml=reml,
        inference=choose_inference(df, working, partial(_adjusted, evaluation)),
        alpha=alpha,
        names=design.names,
        beta=working.back @ (scales.ols / scales.y_scale + evaluation.beta),
        covariance=_covariance(minimum.phi, scales),
        minus2loglik=_minus2loglik(evaluation, scales, design, reml=reml),
        convergence=_convergence(minimum, moments.n_obs),
        n_obs=moments.n_obs,
        n_patients=len(design.patients),
        n_missing_outcome=design.n_missing_outcome,
        design=design,
    )


def _working(evaluation: Evaluation, design: Design, scales: Scales, kind: Information) -> WorkingFit:
    """For inference by observed or expected information."""
    n_obs, n_fixed = design.X.shape
    return WorkingFit(
        vcov=evaluation.vcov,
        P=evaluation.P,
        information=evaluation.hessian if kind == "observed" else evaluation.expected,
        kind=kind,
        back=scales.y_scale * np.asarray(np.linalg.inv(design.basis.R)),
        residual_df=float(n_obs - n_fixed),
    )


def _adjusted(evaluation: Evaluation, working: Sensitivity) -> Array:
    """Kenward–Roger's covariance; V is linear in its parameters, so there are no second derivatives."""
    return adjusted_vcov(working, evaluation.P, np.asarray(np.tensordot(working.W, evaluation.Q, axes=2)), 0.0)


def _minus2loglik(evaluation: Evaluation, scales: Scales, design: Design, *, reml: bool) -> float:
    """On the scale of the data."""
    n_obs, n_fixed = design.X.shape
    constant = 2 * (n_obs - n_fixed if reml else n_obs) * np.log(scales.y_scale)
    return evaluation.value + float(constant + (2 * scales.log_det_r if reml else 0.0))


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
