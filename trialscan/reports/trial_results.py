"""What the comparison of the arms came to: the headline, slopes, differences at each visit, evidence of convergence."""

from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.platypus import Flowable

from trialscan.reports import blocks
from trialscan.reports.comparison import Comparison, Endpoint, Estimate
from trialscan.reports.figure_arms import in_percent, slope_numbers, visit_numbers
from trialscan.reports.fonts import markup
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.words import NONE, count, interval, number, p_value, sentence, shortened

_WHERE = "statistics/models.json"


def headline(folder: RunFolder, comparison: Comparison) -> Flowable:
    """The primary comparison in words, or the reason why there is none."""
    primary, kind = comparison.primary, folder.protocol.analysis.model
    differences = [row for row in comparison.of(primary, kind) if row.comparator and row.get("p") is not None]
    if not differences:
        reason = comparison.absent.get(f"primary.{kind}", "no reason recorded")
        words = f"<b>The comparison of the arms is absent.</b> {markup(sentence(shortened(reason, where=_WHERE)))}"
        return blocks.box([blocks.rich(words)], alert=True)
    percent = in_percent(comparison, primary)
    if kind == "random_slope":
        what = f"change per {'28 days' if percent else 'day'}"
        sign = "it falls faster, or rises slower, than in the comparator"
    else:
        last = differences[-1].visit
        differences = [row for row in differences if row.visit == last]
        what, sign = f"change from baseline to {markup(last)}", "it fell more, or rose less, than in the comparator"
    lines = []
    for row in differences:
        shown = interval(*_difference(row), digits=_digits(comparison, primary))
        lines.append(
            blocks.rich(
                f"<b>{markup(primary.label)}, primary: {markup(row.arm)} against {markup(row.comparator)}</b><br/>"
                f"Difference in {what}: <b>{shown}{' %' if percent else ''}</b>, {confidence(folder)} confidence "
                f"interval; p {_p(row)}, {number(row.get('df'), 1)} degrees of freedom. Negative: {sign}."
            )
        )
    return blocks.box(lines, alert=False)


def absent_section(comparison: Comparison) -> list[Flowable]:
    """Analyses that could not be made, with their reasons; nothing where all were."""
    if not comparison.absent:
        return []
    rows = [[name, sentence(shortened(reason, where=_WHERE))] for name, reason in comparison.absent.items()]
    return [*blocks.heading("Analyses that are absent"), blocks.grid(["Analysis", "Why"], rows, [1.4, 5])]


def slope_section(folder: RunFolder, comparison: Comparison) -> list[Flowable]:
    """Change over time by arm, and its differences, of every endpoint."""
    rows: list[list[str | Flowable]] = []
    for endpoint in comparison.endpoints:
        digits = _digits(comparison, endpoint)
        for row in comparison.of(endpoint, "random_slope"):
            if row.get("p") is None:
                continue
            numbers = _difference(row) if row.comparator else slope_numbers(row)
            who = f"{row.arm} − {row.comparator}" if row.comparator else row.arm
            size = count(row.get("n_patients")) if not row.comparator else NONE
            p = p_value(row.get("p")) if row.comparator else NONE
            rows.append([_name(endpoint), _unit(comparison, endpoint), who, size, interval(*numbers, digits=digits), p])
    if not rows:
        return []
    head = ["Endpoint", "Change in", "Arm or difference", "Patients", f"Estimate ({confidence(folder)} CI)", "p"]
    return [
        *blocks.heading("Change over time: random-intercept-and-slope model"),
        blocks.grid(head, rows, [2.3, 1.6, 2.1, 0.9, 2.3, 0.8], right=(3, 4, 5)),
        blocks.text(
            "Slopes by restricted maximum likelihood; intervals and p values by Kenward and Roger's adjusted standard "
            "errors and degrees of freedom. Percentages of an endpoint analysed as log(1 + value) are of (value + 1); "
            f"a difference in percent is the ratio of the arms' changes, less one. {_on_multiplicity(folder)}",
            "caption",
        ),
    ]


def visit_section(folder: RunFolder, comparison: Comparison) -> list[Flowable]:
    """Adjusted mean change at each visit by arm, and its differences, of every endpoint."""
    story: list[Flowable] = []
    for endpoint in comparison.endpoints:
        digits = _digits(comparison, endpoint)
        estimates = comparison.visitwise(endpoint)
        rows = [
            _visit_row(row, digits)
            for row in estimates
            if visit_numbers(row)[0] is not None or _difference(row)[0] is not None
        ]
        if rows:
            unit = "%" if in_percent(comparison, endpoint) else "own unit"
            head = ["Visit", "Arm or difference", "Patients", f"Estimate, {unit} ({confidence(folder)} CI)", "df", "p"]
            story.append(blocks.text(_name(endpoint), "subheading"))
            story.append(blocks.grid(head, rows, [1.1, 2.5, 0.9, 2.8, 0.9, 0.8], right=(2, 3, 4, 5)))
    if not story:
        return []
    note = (
        "Change from baseline, by one mixed model for repeated measures over all visits (MMRM) with the baseline by "
        "visit and the protocol's covariates. The covariance used is in statistics/models.json."
        if folder.protocol.analysis.model == "mmrm"
        else "Change from baseline, by analysis of covariance with the baseline and the protocol's covariates; exact t "
        "with residual degrees of freedom. Patients without a value at the visit take no part in its row."
    )
    return [*blocks.heading("Change from baseline at each visit"), *story, blocks.text(note, "caption")]


def convergence_section(comparison: Comparison) -> list[Flowable]:
    """A row a mixed model: what was fitted and the evidence that the fit is a minimum."""
    fits = [model for model in comparison.models.get("models", []) if "convergence" in model]
    if not fits:
        return []
    head = [
        "Analysis",
        "Formula",
        "Patients, rows",
        "−2 log-likelihood",
        "Gradient",
        "Least Hessian eigenvalue",
        "At boundary",
    ]
    rows = [_fit_row(model) for model in fits]
    return [
        *blocks.heading("Evidence of convergence"),
        blocks.grid(head, rows, [2.0, 2.0, 1.0, 1.3, 1.0, 1.2, 0.9], right=(2, 3, 4, 5)),
        blocks.text(
            "Gradient: norm over the number of rows. A fit is a minimum when the gradient is near 0 and all "
            "eigenvalues of the Hessian are positive; at the boundary (a variance of 0) one may be 0. More: "
            "statistics/models.json.",
            "caption",
        ),
    ]


def confidence(folder: RunFolder) -> str:
    """The level of the intervals, such as `95 %`."""
    return f"{100 * (1 - folder.protocol.analysis.alpha):g} %"


def _on_multiplicity(folder: RunFolder) -> str:
    method = folder.protocol.analysis.multiplicity.method
    if method == "none":
        return "p values are not adjusted for multiplicity."
    return (
        f"p values here are not adjusted for multiplicity; those adjusted by the protocol's method "
        f"({method.replace('_', ' ')}) are the rows multiplicity of statistics/results.csv."
    )


def _visit_row(row: Estimate, digits: int) -> Sequence[str]:
    numbers = _difference(row) if row.comparator else visit_numbers(row)
    who = f"{row.arm} − {row.comparator}" if row.comparator else row.arm
    p = p_value(row.get("p")) if row.comparator else NONE
    return [row.visit, who, count(row.get("n")), interval(*numbers, digits=digits), _df(row), p]


def _df(row: Estimate) -> str:
    """Degrees of freedom, whole where they are."""
    df = row.get("df")
    return count(df) if df is None or df == round(df) else number(df, 1)


def _difference(row: Estimate) -> tuple[float | None, float | None, float | None]:
    for name in ("percent_difference_per_28_days", "percent_difference"):
        if row.get(name) is not None:
            return row.get(name), row.get("percent_difference_lower"), row.get("percent_difference_upper")
    for name in ("slope_difference_per_day", "adjusted_mean_difference"):
        if row.get(name) is not None:
            return row.get(name), row.get("lower"), row.get("upper")
    return None, None, None


def _digits(comparison: Comparison, endpoint: Endpoint) -> int:
    return 1 if in_percent(comparison, endpoint) else 4


def _name(endpoint: Endpoint) -> str:
    kind = "primary" if endpoint.name == "primary" else endpoint.name.replace("secondary", "secondary ")
    return f"{endpoint.label}, {kind}"


def _unit(comparison: Comparison, endpoint: Endpoint) -> str:
    return "% of itself per 28 days" if in_percent(comparison, endpoint) else "own unit per day"


def _p(row: Estimate) -> str:
    shown = p_value(row.get("p"))
    return shown if shown.startswith("<") else f"= {shown}"


def _fit_row(model: Mapping[str, Any]) -> list[str]:
    evidence = model["convergence"]
    eigenvalues = [value for value in evidence.get("hessian_eigenvalues", []) if value is not None]
    return [
        str(model["analysis_id"]),
        str(model["formula"]),
        f"{model['n_patients']}, {model['n_observations']}",
        number(model.get("minus2loglik"), 2),
        _scientific(evidence.get("relative_gradient")),
        number(min(eigenvalues), 3) if eigenvalues else NONE,
        "yes" if evidence.get("singular") else "no",
    ]


def _scientific(value: float | None) -> str:
    return NONE if value is None else f"{value:.1e}".replace("-", "−")
