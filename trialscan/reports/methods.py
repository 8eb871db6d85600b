"""How the numbers were made, in words that can be cited, and the digests they go back to."""

from collections.abc import Sequence

from reportlab.platypus import Table

from trialscan.reports import blocks
from trialscan.reports.run_folder import OK, RunFolder, VisitRow
from trialscan.reports.words import NONE, plain, plural, short_digest
from trialscan.study import AnalysisSettings, LesionSettings

_ENGINES = {"ants": "ANTs", "simpleitk": "SimpleITK", "torch": "PyTorch"}


def methods_text(folder: RunFolder, visits: Sequence[VisitRow]) -> list[str]:
    """Software, outlines, lesion rules and alignment of one patient's visits, each as a paragraph."""
    return [f"{_opening(folder)} {_outlines(folder, visits, named=True)} {_lesion_rules(folder)}", _alignment(folder)]


def trial_methods(folder: RunFolder) -> list[str]:
    """The same for the whole trial, and how the arms were compared."""
    outlines = _outlines(folder, folder.visits, named=False)
    return [f"{_opening(folder)} {outlines} {_lesion_rules(folder)}", _alignment(folder), _analysis(folder)]


def provenance_table(visits: Sequence[VisitRow]) -> Table:
    """A row a visit: digests of the scan, the masks that were counted, and the model's weights."""
    columns = ("image_sha256", "organ_sha256", "lesion_sha256", "model_sha256")
    rows = [
        [blocks.text(row.visit, "cell"), *[blocks.text(short_digest(row.text(name)), "mono") for name in columns]]
        for row in visits
    ]
    return blocks.grid(["Visit", "Scan", "Organ mask", "Lesion mask", "Model weights"], rows, [1, 1.5, 1.5, 1.5, 1.5])


def _opening(folder: RunFolder) -> str:
    return (
        f"Scans were measured by trialscan {folder.version} under protocol {folder.protocol.study.id} "
        f"(sha256 {short_digest(folder.protocol_sha256)})."
    )


def _outlines(folder: RunFolder, visits: Sequence[VisitRow], *, named: bool) -> str:
    organ = plain(folder.protocol.segmentation.organ_name)
    return " ".join(
        _sources(visits, what, name, named=named) for what, name in (("organ", f"the {organ}"), ("lesion", "lesions"))
    )


def _sources(visits: Sequence[VisitRow], what: str, name: str, *, named: bool) -> str:
    """Who outlined what at which visits; a model is never called a reader."""
    origins: dict[str, list[str]] = {}
    for row in visits:
        source = row.text(f"{what}_source")
        if row.status != OK or source in {"", "none"}:
            continue
        digest = short_digest(row.text("model_sha256"))
        model = f"the model {row.text('model')} (weights sha256 {digest}; not checked by a reader)"
        origins.setdefault(model if source == "model" else f"a {source}'s masks", []).append(row.visit)
    if not origins:
        return f"No outline of {name} was to be had."
    told = [
        f"{origin} at {', '.join(found) if named else plural(len(found), 'visit')}" for origin, found in origins.items()
    ]
    return f"Outlines of {name} came from {'; '.join(told)}."


def _lesion_rules(folder: RunFolder) -> str:
    rules = folder.protocol.lesions
    return (
        f"A lesion is a connected region of at least {rules.minimum_ml:g} ml ({rules.minimum_pixels} pixels in a "
        "planar image), counted on the scan's own grid. "
        f"Lesions of two visits are taken as one when they touch within {rules.matching_tolerance_mm:g} mm in baseline "
        f"coordinates. {change_rule(rules)}"
    )


def change_rule(rules: LesionSettings) -> str:
    """What the protocol takes for a change of a lesion, in words."""
    if not rules.repeatability:
        return (
            "A lesion is called growing or shrinking when its size changes by more than "
            f"+{rules.repeatability_percent:g} % as a ratio either way, or twice that on the log scale for a lesion "
            "near the minimum size. This limit is an assumption of the protocol."
        )
    limits = sorted(band.upper_percent for band in rules.repeatability)
    return (
        "A lesion is called growing or shrinking only when its size changes by more than repeated measurement does in "
        f"95 % of cases: a ratio either way of +{limits[0]:.0f} % for the best measured lesions to "
        f"+{limits[-1]:.0f} % for the worst, by size and slice thickness.{_error_sources(rules)}"
    )


def _error_sources(rules: LesionSettings) -> str:
    """Where the table of measurement error says its figures come from; nothing where it does not say."""
    told = list(dict.fromkeys(band.source for band in rules.repeatability if band.source))
    return f" Source of these limits: {'; '.join(told)}." if told else ""


def _alignment(folder: RunFolder) -> str:
    settings = folder.protocol.registration
    if settings.method == "none":
        return "Follow-ups were not aligned to the baseline: the protocol asks for no registration."
    return (
        f"Follow-ups were aligned to the baseline by {settings.method} registration ({_ENGINES[settings.engine]}, "
        f"{settings.spacing_mm:g} mm grid); the table of quality names the step that was used. Alignment serves lesion "
        "identity and pictures only: no mask was resampled before it was measured. An alignment is marked for review "
        f"below an organ overlap (Dice) of {settings.limits.min_organ_dice:g} or above "
        f"{settings.limits.max_folding_percent:g} % folding."
    )


def _analysis(folder: RunFolder) -> str:
    plan, primary = folder.protocol.analysis, folder.protocol.endpoints.primary
    scale = "log(1 + value)" if primary.transform == "log1p" else "the value as measured"
    covariates = f", {', '.join(plan.covariates)}" if plan.covariates else ""
    at_visits = (
        f"a mixed model for repeated measures (MMRM) of baseline and arm by visit{covariates}, covariance "
        f"{', else '.join(plan.covariance)}, {plan.df} degrees of freedom"
        if plan.model == "mmrm"
        else f"analysis of covariance on the baseline{covariates} and arm"
    )
    return (
        f"The primary endpoint is {primary.measure}, analysed as {scale}. Change over time: a linear mixed model of "
        f"arm, study day and their interaction{covariates}, with a random intercept and slope a patient, by restricted "
        f"maximum likelihood, with {plan.df} degrees of freedom. Change at each visit: {at_visits}. "
        f"{_missing(plan)} An arm needs "
        f"{plan.min_patients_per_arm} patients to be compared."
    )


def _missing(plan: AnalysisSettings) -> str:
    """What was done about outcomes that are missing, and those after an intercurrent event."""
    given_up = [each.event for each in plan.estimand.intercurrent_events if each.strategy == "hypothetical"]
    dropped = f" Outcomes from a hypothetical event on ({', '.join(given_up)}) were not used." if given_up else ""
    strategies = [*plan.missing_data.strategies, *(["tipping point"] if plan.missing_data.tipping_point else [])]
    if not strategies:
        return f"Nothing was imputed; missing and failed visits are missing data.{dropped}"
    return (
        "Nothing was imputed in these models; missing and failed visits are missing data. Sensitivity analyses of the "
        f"primary endpoint impute missing outcomes ({', '.join(strategies)}).{dropped}"
    )


def cite_as(folder: RunFolder) -> str:
    """One line to cite the run by."""
    return f"trialscan {folder.version}, protocol {folder.protocol.study.id}, sha256 {folder.protocol_sha256 or NONE}."
