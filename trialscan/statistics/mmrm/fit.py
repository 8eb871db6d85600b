"""The mixed model for repeated measures: a mean for every term of a formula, one covariance over declared visits."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trialscan.errors import StatisticsError
from trialscan.statistics.covariance import Structure, structure_named
from trialscan.statistics.inference import FixedDf, Inference, KenwardRoger, Satterthwaite, Sensitivity
from trialscan.statistics.mmrm.design import VisitDesign, build_visit_design
from trialscan.statistics.mmrm.identification import refuse_unidentified
from trialscan.statistics.mmrm.inference import Information, Parameters, kenward_roger_vcov, sensitivity
from trialscan.statistics.mmrm.likelihood import MmrmLikelihood
from trialscan.statistics.mmrm.moments import Moments, Scale, visit_moments
from trialscan.statistics.mmrm.sandwich import Sandwich, sandwich_inference
from trialscan.statistics.mmrm.search import METHOD, STARTS, Minimum, find_minimum
from trialscan.statistics.results import Convergence, MixedModelResult, VisitCovariance

Array = NDArray[np.float64]
DF_METHODS = ("kenward-roger", "kenward-roger-linear", "satterthwaite", "residual", "asymptotic")
FALLBACK = ("us", "toeph", "ar1h", "csh", "cs")


def fit_mmrm(
    data: pd.DataFrame,
    formula: str,
    *,
    patient: str,
    visit: str,
    covariance: str | Sequence[str] = "us",
    df: str = "kenward-roger",
    reml: bool = True,
    visit_order: Sequence[str] | None = None,
    weights: str | None = None,
    group: str | None = None,
    information: Information = "observed",
    parameters: Parameters = "natural",
    sandwich: Sandwich | None = None,
    alpha: float = 0.05,
) -> MixedModelResult:
    """Fit y = X b + e, e ~ N(0, S) within a patient, S of a declared structure over the visits.

    Parameters
    ----------
    data : a row for each patient and visit, in any order; rows without an outcome are left out (missing at random).
    formula : fixed effects, `outcome ~ terms`, as formulaic reads it.
    patient, visit : the columns with the patient and the visit.
    covariance : us, toeph, toep, ar1h, ar1, csh, cs, adh or ad; of several, the first that can be fitted, with the
        reasons for giving up the others in `convergence.fallback`.
    df : "kenward-roger" (Kenward & Roger 1997, second derivatives included), "kenward-roger-linear" (without them),
        "satterthwaite", "residual" (rows less coefficients) or "asymptotic" (normal).
    reml : restricted (True) or full maximum likelihood.
    visit_order, weights, group : as `build_visit_design`; `group` gives each of its levels a covariance of its own.
    information : covariance of the covariance parameters from the observed (as SAS and mmrm) or expected information.
    parameters : in which Kenward–Roger differentiates: "natural" (as SAS) or "log-cholesky" (as R's mmrm).
    sandwich : CR0, CR2 or CR3 by patient; standard errors and degrees of freedom are then the sandwich's, not `df`'s.
    alpha : intervals cover 1 − alpha.

    Raises
    ------
    StatisticsError : faults of the table (see `build_visit_design`); an option that is not offered; a covariance that
        the data do not identify (naming the visits); a fit that did not converge.
    """
    _refuse_options(df, information, parameters, sandwich, alpha)
    structures = (covariance,) if isinstance(covariance, str) else tuple(covariance)
    if not structures:
        raise StatisticsError("covariance", "an empty list", "one or more structures")
    for name in structures:
        structure_named(name)
    design = build_visit_design(
        data, formula, patient=patient, visit=visit, visit_order=visit_order, weights=weights, group=group
    )
    with threadpool_limits(limits=1, user_api="blas"):
        moments, scale = visit_moments(design)
        _refuse_saturated(moments)
        name, likelihood, minimum, fallback = _first_that_fits(structures, design, moments, reml=reml)
        inference = _inference(
            likelihood, minimum, scale, df=df, information=information, parameters=parameters, sandwich=sandwich
        )
    return MixedModelResult(
        formula=design.formula,
        patient=patient,
        time=visit,
        reml=reml,
        inference=inference,
        alpha=alpha,
        names=design.names,
        beta=scale.inverse_r @ (scale.ols + scale.y_scale * minimum.at.beta),
        covariance=_covariance(name, design, likelihood, minimum, scale),
        minus2loglik=_minus2loglik(likelihood, minimum, scale),
        convergence=_convergence(likelihood, minimum, fallback),
        n_obs=moments.n_obs,
        n_patients=len(design.patients),
        n_missing_outcome=design.n_missing_outcome,
        design=design,
    )


def _refuse_options(df: str, information: str, parameters: str, sandwich: str | None, alpha: float) -> None:
    for name, value, allowed in (
        ("df", df, DF_METHODS),
        ("information", information, ("observed", "expected")),
        ("parameters", parameters, ("natural", "log-cholesky")),
        ("sandwich", sandwich, (None, "CR0", "CR2", "CR3")),
    ):
        if value not in allowed:
            raise StatisticsError(f"{name}={value!r}", "not available", f"one of {', '.join(map(str, allowed))}")
    if not 0 < alpha < 1:
        raise StatisticsError(f"alpha={alpha!r}", "not a probability between 0 and 1", "for example 0.05")


def _refuse_saturated(moments: Moments) -> None:
    if moments.n_obs <= moments.n_fixed:
        raise StatisticsError(
            "mixed model", f"{moments.n_obs} rows for {moments.n_fixed} coefficients", "more rows than coefficients"
        )


def _first_that_fits(
    names: Sequence[str], design: VisitDesign, moments: Moments, *, reml: bool
) -> tuple[str, MmrmLikelihood, Minimum, tuple[str, ...]]:
    """The first structure with a minimum, and why those before it had none."""
    reasons: list[str] = []
    for place, name in enumerate(names):
        likelihood = MmrmLikelihood(moments, structure_named(name), reml=reml)
        try:
            refuse_unidentified(name, design)
            return name, likelihood, find_minimum(likelihood), tuple(reasons)
        except StatisticsError as error:
            if place == len(names) - 1:
                raise
            reasons.append(f"{name}: {error}")
    raise StatisticsError("covariance", "an empty list", "one or more structures")


def _inference(
    likelihood: MmrmLikelihood,
    minimum: Minimum,
    scale: Scale,
    *,
    df: str,
    information: Information,
    parameters: Parameters,
    sandwich: Sandwich | None,
) -> Inference:
    if sandwich is not None:
        return sandwich_inference(likelihood, minimum, scale, sandwich)
    working = sensitivity(minimum.at, information)

    def original(values: Array) -> Array:
        out = scale.y_scale**2 * scale.inverse_r @ values @ scale.inverse_r.T
        return np.asarray((out + np.swapaxes(out, -1, -2)) / 2)

    found = Sensitivity(original(working.vcov), original(working.derivatives), working.W)
    if df == "residual":
        moments = likelihood.moments
        return FixedDf("residual degrees of freedom", found.vcov, float(moments.n_obs - moments.n_fixed))
    if df == "asymptotic":
        return FixedDf("asymptotic (normal) inference", found.vcov, np.inf)
    if df == "satterthwaite":
        return Satterthwaite(f"Satterthwaite degrees of freedom, {information} information", found)
    linear = df == "kenward-roger-linear"
    adjusted = kenward_roger_vcov(likelihood, minimum.phi, minimum.at, working, linear=linear, parameters=parameters)
    title = f"Kenward–Roger{' (linear)' if linear else ''}, {parameters} parameters, {information} information"
    return KenwardRoger(title, found, original(adjusted))


def _minus2loglik(likelihood: MmrmLikelihood, minimum: Minimum, scale: Scale) -> float:
    """On the scale of the data: V there is y_scale² D^-1/2 S D^-1/2 with the rows' weights in D."""
    moments = likelihood.moments
    free = moments.n_obs - moments.n_fixed if likelihood.reml else moments.n_obs
    constant = 2 * free * np.log(scale.y_scale) + (2 * scale.log_det_r if likelihood.reml else 0.0)
    return float(minimum.at.value + constant - scale.log_weights)


def _covariance(
    name: str, design: VisitDesign, likelihood: MmrmLikelihood, minimum: Minimum, scale: Scale
) -> VisitCovariance:
    structure: Structure = likelihood.structure
    variance = scale.y_scale**2
    matrices = [variance * each.S for each in likelihood.covariances(minimum.phi)]
    stretched = np.where(structure.scales(likelihood.n_visits), variance, 1.0)
    return VisitCovariance(
        structure=name,
        label=structure.label,
        visits=design.visits,
        matrices=dict(zip(design.groups, matrices, strict=True)),
        parameters={
            group: part * stretched for group, part in zip(design.groups, likelihood.parts(minimum.phi), strict=True)
        },
    )


def _convergence(likelihood: MmrmLikelihood, minimum: Minimum, fallback: tuple[str, ...]) -> Convergence:
    return Convergence(
        gradient_norm=float(np.max(np.abs(minimum.at.gradient))),
        relative_gradient=minimum.relative_gradient,
        hessian_eigenvalues=tuple(float(value) for value in minimum.hessian_eigenvalues),
        starts=len(STARTS),
        iterations={"newton": minimum.newton_steps, "scoring": minimum.scoring_steps},
        evaluations=minimum.evaluations,
        method=METHOD,
        parameterisation=f"natural parameters of the {likelihood.structure.label} covariance",
        singular=False,
        fallback=fallback,
    )
