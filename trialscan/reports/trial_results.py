"""What the comparison of the arms came to: the headline, slopes, and differences at each visit."""

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable

from trialscan.reports import blocks
from trialscan.reports.comparison import ANCOVA, MMRM, SLOPES, Comparison, Endpoint, Estimate
from trialscan.reports.figure_forest import difference_numbers
from trialscan.reports.figure_means import in_percent, slope_numbers, visit_numbers
from trialscan.reports.fonts import markup
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.trial_fits import MODELS, covariances_used, inference
from trialscan.reports.words import NONE, count, interval, number, p_value, sentence, shortened


def headline(folder: RunFolder, comparison: Comparison) -> Flowable:
    """The primary comparison in words, or the reason why there is none."""
    primary, kind = comparison.primary, folder.protocol.analysis.model
    rows = [row for row in comparison.of(primary, kind) if row.comparator]
    compared = [row for row in rows if row.visit == rows[-1].visit]
    if all(row.get("p") is None for row in compared):
        reason = comparison.absent.get(f"primary.{kind}", "no reason recorded")
        words = f"<b>The comparison of the arms is absent.</b> {markup(sentence(shortened(reason, where=MODELS)))}"
        return blocks.box([blocks.rich(words)], alert=True)
    return blocks.box([blocks.rich(_verdict(folder, comparison, row)) for row in compared], alert=False)


def _verdict(folder: RunFolder, comparison: Comparison, row: Estimate) -> str:
    """The primary difference of one arm in words."""
    primary = comparison.primary
    percent = in_percent(comparison, primary)
    if folder.protocol.analysis.model == SLOPES:
        what = f"change per {'28 days' if percent else 'day'}"
        sign = "it falls faster, or rises slower, than in the comparator"
    else:
        what, sign = (
            f"change from baseline to {markup(row.visit)}",
            "it fell more, or rose less, than in the comparator",
        )
    who = f"<b>{markup(primary.label)}, primary: {markup(row.arm)} against {markup(row.comparator)}</b><br/>"
    if row.get("p") is None:
        return f"{who}Difference in {what}: <b>cannot be estimated</b>; see Analyses that are absent."
    shown = interval(*difference_numbers(row)[1], digits=_digits(comparison, primary))
    return (
        f"{who}Difference in {what}: <b>{shown}{' %' if percent else ''}</b>, {confidence(folder)} confidence "
        f"interval; p {_p(row)}{_adjusted(comparison, row)}, {number(row.get('df'), 1)} degrees of freedom. "
        f"Negative: {sign}.{' Percentages are of (value + 1).' if percent else ''}"
    )


def _adjusted(comparison: Comparison, row: Estimate) -> str:
    """The p value adjusted for the number of primary comparisons, where the protocol adjusts."""
    for record in comparison.records("multiplicity"):
        for each in record["hypotheses"]:
            if (each["endpoint"], each["arm"]) == (comparison.primary.name, row.arm):
                return f" (adjusted for multiplicity: {p_value(each['p_adjusted'])})"
    return ""


def slope_section(folder: RunFolder, comparison: Comparison) -> list[Flowable]:
    """Change over time by arm, and its differences, of every endpoint."""
    rows: list[list[str | Flowable]] = []
    for endpoint in comparison.endpoints:
        digits = _digits(comparison, endpoint)
        for row in comparison.of(endpoint, SLOPES):
            if row.get("p") is None:
                continue
            numbers = difference_numbers(row)[1] if row.comparator else slope_numbers(row)
            who = f"{row.arm} − {row.comparator}" if row.comparator else row.arm
            size = count(row.get("n_patients")) if not row.comparator else NONE
            p = p_value(row.get("p")) if row.comparator else NONE
            rows.append([endpoint.title, _unit(comparison, endpoint), who, size, interval(*numbers, digits=digits), p])
    if not rows:
        return []
    head = ["Endpoint", "Change in", "Arm or difference", "Patients", f"Estimate ({confidence(folder)} CI)", "p"]
    return [
        *blocks.heading("Change over time: random-intercept-and-slope model"),
        blocks.grid(head, rows, [2.4, 1.2, 2.1, 0.95, 2.55, 0.8], right=(3, 4, 5)),
        blocks.text(
            f"Slopes by restricted maximum likelihood; intervals and p values: {inference(comparison, SLOPES)}. "
            "Percentages of an endpoint analysed as log(1 + value) are of (value + 1); "
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
            if visit_numbers(row)[0] is not None or difference_numbers(row)[1][0] is not None
        ]
        if rows:
            unit = "%" if in_percent(comparison, endpoint) else "own unit"
            head = ["Visit", "Arm or difference", "Patients", f"Estimate, {unit} ({confidence(folder)} CI)", "df", "p"]
            story += [CondPageBreak(30 * mm), blocks.text(endpoint.title, "subheading")]
            story.append(blocks.grid(head, rows, [1.1, 2.5, 0.9, 2.8, 0.9, 0.8], right=(2, 3, 4, 5)))
    if not story:
        return []
    note = (
        "Change from baseline, by one mixed model for repeated measures over all visits (MMRM) with the baseline by "
        f"visit and the protocol's covariates; {inference(comparison, MMRM)}. {covariances_used(comparison)}"
        if folder.protocol.analysis.model == MMRM
        else "Change from baseline, by analysis of covariance with the baseline and the protocol's covariates; "
        f"{inference(comparison, ANCOVA)}. Patients without a value at the visit take no part in its row."
    )
    return [*blocks.heading("Change from baseline at each visit"), *story, blocks.text(note, "caption")]


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
    numbers = difference_numbers(row)[1] if row.comparator else visit_numbers(row)
    who = f"{row.arm} − {row.comparator}" if row.comparator else row.arm
    p = p_value(row.get("p")) if row.comparator else NONE
    return [row.visit, who, count(row.get("n")), interval(*numbers, digits=digits), _df(row), p]


def _df(row: Estimate) -> str:
    """Degrees of freedom, whole where they are."""
    df = row.get("df")
    return count(df) if df is None or df == round(df) else number(df, 1)


def _digits(comparison: Comparison, endpoint: Endpoint) -> int:
    return 1 if in_percent(comparison, endpoint) else 4


def _unit(comparison: Comparison, endpoint: Endpoint) -> str:
    return "% per 28 days" if in_percent(comparison, endpoint) else "unit per day"


def _p(row: Estimate) -> str:
    shown = p_value(row.get("p"))
    return shown if shown.startswith("<") else f"= {shown}"
