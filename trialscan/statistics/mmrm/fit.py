"""The mixed model for repeated measures: a mean for every term of a formula, one covariance over declared visits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trialscan.errors import StatisticsError
from trialscan.statistics.covariance import Structure, structure_named
from trialscan.statistics.inference import (
    DF_METHODS,
    Inference,
    Information,
    Sensitivity,
    WorkingFit,
    choose_inference,
    refuse_options,
)
from trialscan.statistics.mmrm.design import VisitDesign, build_visit_design
from trialscan.statistics.mmrm.identification import refuse_unidentified
from trialscan.statistics.mmrm.inference import Parameters, kenward_roger_vcov
from trialscan.statistics.mmrm.likelihood import MmrmLikelihood
from trialscan.statistics.mmrm.moments import Moments, Scale, visit_moments
from trialscan.statistics.mmrm.sandwich import NAMES, Sandwich, sandwich_inference
from trialscan.statistics.mmrm.search import METHOD, STARTS, Minimum, find_minimum
from trialscan.statistics.results import Convergence, MixedModelResult, VisitCovariance

Array = NDArray[np.float64]
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
    drop_aliased: bool = False,
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
    drop_aliased : leave columns out that repeat others, such as the interaction of an arm and a visit without any
        outcome, as R does; what then cannot be estimated is NaN and named in `attrs["not_estimable"]`. Else they are
        refused.
    alpha : intervals cover 1 − alpha.

    Raises
    ------
    StatisticsError : faults of the table (see `build_visit_design`); an option that is not offered; a covariance that
        the data do not identify (naming the visits); a fit that did not converge.
    """
    design = build_visit_design(
        data,
        formula,
        patient=patient,
        visit=visit,
        visit_order=visit_order,
        weights=weights,
        group=group,
        drop_aliased=drop_aliased,
    )
    options = MmrmOptions(covariance, df, reml, information, parameters, sandwich, alpha)
    return fit_visit_design(design, options, patient=patient, visit=visit)


@dataclass(frozen=True)
class MmrmOptions:
    """How a design is fitted and what is inferred, as `fit_mmrm` says; StatisticsError for what is not offered."""

    covariance: str | Sequence[str] = "us"
    df: str = "kenward-roger"
    reml: bool = True
    information: Information = "observed"
    parameters: Parameters = "natural"
    sandwich: Sandwich | None = None
    alpha: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what is not offered."""
        refuse_options(
            self.alpha,
            df=(self.df, DF_METHODS),
            information=(self.information, ("observed", "expected")),
            parameters=(self.parameters, ("natural", "log-cholesky")),
            sandwich=(self.sandwich, (None, *NAMES)),
        )


def fit_visit_design(design: VisitDesign, options: MmrmOptions, *, patient: str, visit: str) -> MixedModelResult:
    """`fit_mmrm` of a table that has been read already; `patient` and `visit` name its columns in the result."""
    structures = _structures(options.covariance)

    def infer(found: _Found) -> Inference:
        if options.sandwich is not None:
            return sandwich_inference(found.likelihood, found.minimum, found.scale, options.sandwich)
        adjust = partial(found.adjusted, linear=options.df == "kenward-roger-linear", parameters=options.parameters)
        return choose_inference(options.df, found.working(options.information), adjust, options.parameters)

    with threadpool_limits(limits=1, user_api="blas"):
        found, inference = _first_that_fits(structures, design, infer, reml=options.reml)
    return found.result(design, inference, patient=patient, visit=visit, alpha=options.alpha)


def _structures(covariance: str | Sequence[str]) -> tuple[str, ...]:
    """The structures to try, each known."""
    names = (covariance,) if isinstance(covariance, str) else tuple(covariance)
    if not names:
        raise StatisticsError("covariance", "an empty list", "one or more structures")
    for name in names:
        structure_named(name)
    return names


@dataclass(frozen=True)
class _Found:
    """A structure's minimum, the working scale it was found on, and why the structures before it had none."""

    structure: str
    likelihood: MmrmLikelihood
    minimum: Minimum
    scale: Scale
    fallback: tuple[str, ...]

    def working(self, information: Information) -> WorkingFit:
        """For inference by observed or expected information."""
        at, moments = self.minimum.at, self.likelihood.moments
        return WorkingFit(
            vcov=at.vcov,
            P=at.P,
            information=at.hessian if information == "observed" else at.expected,
            kind=information,
            back=self.scale.y_scale * self.scale.inverse_r,
            residual_df=float(moments.n_obs - moments.n_fixed),
        )

    def adjusted(self, working: Sensitivity, *, linear: bool, parameters: Parameters) -> Array:
        """Kenward–Roger's covariance on the working scale."""
        return kenward_roger_vcov(
            self.likelihood, self.minimum.phi, self.minimum.at, working, linear=linear, parameters=parameters
        )

    def result(
        self, design: VisitDesign, inference: Inference, *, patient: str, visit: str, alpha: float
    ) -> MixedModelResult:
        """Everything on the scale of the data."""
        return MixedModelResult(
            formula=design.formula,
            patient=patient,
            time=visit,
            reml=self.likelihood.reml,
            inference=inference,
            alpha=alpha,
            names=design.names,
            beta=self.scale.inverse_r @ (self.scale.ols + self.scale.y_scale * self.minimum.at.beta),
            covariance=_covariance(self.structure, design, self.likelihood, self.minimum, self.scale),
            minus2loglik=_minus2loglik(self.likelihood, self.minimum, self.scale),
            convergence=_convergence(self.likelihood, self.minimum, self.fallback),
            n_obs=self.likelihood.moments.n_obs,
            n_patients=len(design.patients),
            n_missing_outcome=design.n_missing_outcome,
            design=design,
        )


def _refuse_saturated(moments: Moments) -> None:
    if moments.n_obs <= moments.n_fixed:
        raise StatisticsError(
            "mixed model", f"{moments.n_obs} rows for {moments.n_fixed} coefficients", "more rows than coefficients"
        )


def _first_that_fits(
    names: Sequence[str], design: VisitDesign, infer: Callable[[_Found], Inference], *, reml: bool
) -> tuple[_Found, Inference]:
    """The first structure with a minimum and inference at it; the last one's fault where there is none."""
    moments, scale = visit_moments(design)
    _refuse_saturated(moments)
    reasons: list[str] = []

    def attempt(name: str) -> tuple[_Found, Inference]:
        found = _fitted(name, design, moments, scale, tuple(reasons), reml=reml)
        return found, infer(found)

    for name in names[:-1]:
        try:
            return attempt(name)
        except StatisticsError as error:
            reasons.append(f"{name}: {error}")
    return attempt(names[-1])


def _fitted(
    name: str, design: VisitDesign, moments: Moments, scale: Scale, reasons: tuple[str, ...], *, reml: bool
) -> _Found:
    refuse_unidentified(name, design)
    likelihood = MmrmLikelihood(moments, structure_named(name), reml=reml)
    return _Found(name, likelihood, find_minimum(likelihood), scale, reasons)


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
