"""What was fitted and how far it can be trusted: the plan, covariances used, inference, convergence, what is absent."""

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable

from trialscan.reports import blocks
from trialscan.reports.comparison import MMRM, Comparison, Endpoint
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.words import NONE, number, plain, sentence, shortened

MODELS = "statistics/models.json"


def plan_section(folder: RunFolder, comparison: Comparison) -> list[Flowable]:
    """The protocol's plan in a few lines."""
    plan, endpoints = folder.protocol.analysis, folder.protocol.endpoints
    secondary = ", ".join(f"{each.measure} ({_scale(each.transform)})" for each in endpoints.secondary)
    compared = (
        f"change from baseline to the last visit, by MMRM; covariance {', else '.join(plan.covariance)}"
        if plan.model == MMRM
        else "change over time, by random intercept and slope on study days; at visits by analysis of covariance"
    )
    pairs = [
        ("Primary endpoint", f"{endpoints.primary.measure} ({_scale(endpoints.primary.transform)})"),
        ("Secondary", secondary or NONE),
        ("Compared", compared),
        ("Degrees of freedom", plan.df),
        ("Reference arm", plan.reference_arm or "first by name"),
        ("Covariates", ", ".join(plan.covariates) or NONE),
        ("Level", f"two-sided {plan.alpha:g}; intervals {100 * (1 - plan.alpha):g} %"),
        ("Fewest patients", f"{plan.min_patients_per_arm} an arm"),
    ]
    return [*blocks.heading("Statistical analysis"), blocks.facts(pairs), *_estimand(comparison)]


def _estimand(comparison: Comparison) -> list[Flowable]:
    """The primary estimand as ICH E9(R1) has it, by models.json."""
    records = comparison.records("estimand")
    if not records:
        return []
    told = records[0]
    events = "; ".join(
        f"{each['event']}: {plain(each['strategy'])} ({each['means']})" for each in told["intercurrent_events"]
    )
    pairs = [
        ("Population", told["population"]),
        ("Treatment", told["treatment"] or NONE),
        ("Variable", told["variable"]),
        ("Intercurrent events", events or NONE),
        ("Summary", told["summary"]),
    ]
    return [blocks.text("Primary estimand", "subheading"), blocks.facts(pairs)]


def inference(comparison: Comparison, kind: str, *endpoints: Endpoint) -> str:
    """How intervals and p values of a kind of analysis were had, by models.json; of all endpoints if none is given."""
    known = [
        str(fit["inference"])
        for each in endpoints or comparison.endpoints
        for fit in comparison.fits(f"{each.name}.{kind}")
    ]
    return "; ".join(dict.fromkeys(known)) or "no fit"


def covariances_used(comparison: Comparison) -> str:
    """The covariance of each MMRM, and where it is not the protocol's first, why."""
    told = []
    for endpoint in comparison.endpoints:
        for fit in comparison.fits(f"{endpoint.name}.{MMRM}"):
            given_up = fit["convergence"]["fallback"]
            reasons = "; ".join(shortened(str(reason), 160, where=MODELS) for reason in given_up)
            why = f", after {reasons}" if reasons else ""
            told.append(f"{endpoint.title}: {fit['covariance']['label']} covariance{why}")
    return sentence("; ".join(told))


def convergence_section(comparison: Comparison) -> list[Flowable]:
    """A row a mixed model: what was fitted and the evidence that the fit is a minimum."""
    fits = [model for model in comparison.models.get("models", []) if {"convergence", "covariance"} <= model.keys()]
    if not fits:
        return []
    head = [
        "Analysis",
        "Formula and covariance",
        "Patients, rows",
        "−2 log-likelihood",
        "Gradient",
        "Least Hessian eigenvalue",
        "Check",
    ]
    rows = [_fit_row(model) for model in fits]
    return [
        *blocks.heading("Evidence of convergence"),
        blocks.grid(head, rows, [2.1, 2.4, 0.9, 1.25, 0.9, 1.1, 1.1], right=(2, 3, 4, 5)),
        blocks.text(
            "Gradient: norm over the number of rows, for an MMRM over the root of information and rows. A fit is a "
            "minimum when the gradient is near 0 and all eigenvalues of the Hessian are positive; at the boundary (a "
            "variance of 0) one may be 0. Check: the same model by statsmodels, with its log-likelihood "
            f"less that of this fit; below 0 the other fit is the worse. More: {MODELS}.",
            "caption",
        ),
    ]


def absent_section(comparison: Comparison, figures: Mapping[str, str]) -> list[Flowable]:
    """Analyses that could not be made and figures that are not drawn, with their reasons."""
    story: list[Flowable] = []
    for title, what, reasons in (
        ("Analyses that are absent", "Analysis", comparison.absent),
        ("Figures that are absent", "Figure", figures),
    ):
        rows = [[name, sentence(shortened(reason, where=MODELS))] for name, reason in reasons.items()]
        if rows:
            story += [*blocks.heading(title), blocks.grid([what, "Why"], rows, [1.4, 5])]
    return story


def _scale(transform: str) -> str:
    return "as log(1 + value)" if transform == "log1p" else "as measured"


def _fit_row(model: Mapping[str, Any]) -> list[str]:
    evidence = model["convergence"]
    eigenvalues = [value for value in evidence.get("hessian_eigenvalues", []) if value is not None]
    covariance = model["covariance"].get("label", "random intercept and slope")
    boundary = ", at the boundary" if evidence.get("singular") else ""
    return [
        str(model["analysis_id"]),
        f"{model['formula']}; {covariance}{boundary}",
        f"{model['n_patients']}, {model['n_observations']}",
        number(model.get("minus2loglik"), 2),
        _scientific(evidence.get("relative_gradient")),
        number(min(eigenvalues), 3) if eigenvalues else NONE,
        _check(model.get("independent_check")),
    ]


def _check(check: Mapping[str, Any] | None) -> str:
    """The other program's verdict and log-likelihood less ours."""
    if check is None:
        return NONE
    difference = check.get("loglik_difference")
    if difference is None:
        return str(check["verdict"])
    return f"{check['verdict']} ({number(difference, 2) if abs(difference) >= 0.01 else _scientific(difference)})"


def _scientific(value: float | None) -> str:
    return NONE if value is None else f"{value:.1e}".replace("-", "−")
