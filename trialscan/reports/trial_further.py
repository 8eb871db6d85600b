"""Beside the main analyses: missing outcomes, further and sensitivity analyses, adjustment for multiplicity."""

from collections.abc import Iterator, Mapping

from reportlab.platypus import Flowable

from trialscan.reports import blocks
from trialscan.reports.comparison import DESCRIPTIVE, SLOPES, Comparison, Estimate
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.trial_fits import MODELS
from trialscan.reports.words import NONE, count, interval, number, p_value, plain, sentence

_SHOWN_ELSEWHERE = frozenset({"missingness", "tipping_point", "multiplicity", "subgroup"})
_IMPUTED = "reference_based"
_MOST_VISITS = 5
_INFERENCE = frozenset({"n", "n_patients", "n_observations", "se", "df", "t", "z", "p", "lower", "upper"})


def missing_section(comparison: Comparison) -> list[Flowable]:
    """Missing outcomes of the primary endpoint by arm, pattern and visit."""
    records = comparison.records("missingness")
    if not records:
        return []
    record = records[0]
    visits = record["visits"][-_MOST_VISITS:]
    rows = [
        [
            arm["arm"],
            *(count(arm[name]) for name in ("n_patients", "n_complete", "n_monotone", "n_intermittent")),
            *(
                f"{each['n_missing']} ({number(each['percent_missing'], 0)} %)"
                for each in arm["visits"][-_MOST_VISITS:]
            ),
        ]
        for arm in record["arms"]
    ]
    head = ["Arm", "Patients", "Complete", "Drop-out", "Gaps", *(f"Missing at {visit}" for visit in visits)]
    earlier = f" The last {_MOST_VISITS} visits." if len(visits) < len(record["visits"]) else ""
    return [
        *blocks.heading("Missing outcomes"),
        blocks.grid(head, rows, [1.6, 0.9, 1.0, 1.0, 0.7, *[0.95] * len(visits)], right=range(1, len(head))),
        blocks.text(
            "Primary endpoint, visits after baseline. Drop-out: nothing after the last value; gaps: a value after a "
            f"missing one.{earlier} Every pattern: {MODELS}.",
            "caption",
        ),
    ]


def multiplicity_section(comparison: Comparison) -> list[Flowable]:
    """p values of the primary comparisons of all endpoints, adjusted for their number."""
    records = comparison.records("multiplicity")
    if not records:
        return []
    record = records[0]
    labels = {each.name: each.title for each in comparison.endpoints}
    rows = [
        [
            labels.get(each["endpoint"], each["endpoint"]),
            each["visit"] or "slope",
            f"{each['arm']} − {each['comparator']}",
            count(each["family"]),
            p_value(each["p"]),
            p_value(each["p_adjusted"]),
            "yes" if each["rejected"] else "no",
        ]
        for each in record["hypotheses"]
    ]
    head = ["Endpoint", "Visit", "Difference", "Family", "p", "Adjusted p", f"Rejected at {record['alpha']:g}"]
    return [
        *blocks.heading("Adjustment for multiplicity"),
        blocks.grid(head, rows, [2.6, 0.9, 2.1, 0.8, 0.9, 1.1, 1.0], right=(3, 4, 5)),
        blocks.text(sentence(record["procedure"]), "caption"),
    ]


def further_section(folder: RunFolder, comparison: Comparison) -> list[Flowable]:
    """A row each estimate of an analysis that neither another table nor a figure of the report shows.

    Of an analysis that compares arms only the comparisons are shown, of one with imputed outcomes those at the last
    visit; all of it is in results.csv.
    """
    rows = [row for estimate in _shown(comparison) for row in _rows(estimate)]
    if not rows:
        return []
    level = f"{100 * (1 - folder.protocol.analysis.alpha):g} %"
    head = ["Analysis", "Visit", "Arm or difference", "What", f"Estimate ({level} CI)", "p"]
    return [
        *blocks.heading("Further and sensitivity analyses"),
        blocks.grid(head, rows, [2.6, 0.8, 1.9, 1.6, 2.1, 0.8], right=(4, 5)),
        blocks.text(
            "As statistics/results.csv holds them, on the scale of analysis unless in percent; its notes say how each "
            "was had. Imputed outcomes: the last visit. p values are not adjusted for multiplicity unless named so.",
            "caption",
        ),
    ]


def _shown(comparison: Comparison) -> list[Estimate]:
    elsewhere = {DESCRIPTIVE, SLOPES, comparison.visitwise_kind} | _SHOWN_ELSEWHERE
    further = [row for row in comparison.estimates if elsewhere.isdisjoint(row.analysis_id.split("."))]
    last = {row.analysis_id: row.visit for row in further}
    comparing = {row.analysis_id for row in further if row.comparator and list(_named(row.statistics))}
    return [
        row
        for row in further
        if (row.comparator or row.analysis_id not in comparing)
        and (_IMPUTED not in row.analysis_id.split(".") or row.visit == last[row.analysis_id])
    ]


def _rows(estimate: Estimate) -> Iterator[list[str]]:
    """A row each estimate; in percent alone where results.csv has it so too."""
    who = f"{estimate.arm} − {estimate.comparator}" if estimate.comparator else estimate.arm
    names = list(_named(estimate.statistics))
    percent = [name for name in names if name.startswith("percent_")]
    for name in percent or names:
        shared = bool(percent) or name == names[0]
        lower, upper, p = (_part(estimate, name, part, shared=shared) for part in ("lower", "upper", "p"))
        value = _value(name, estimate.get(name), lower, upper)
        if _is_p(name):
            value, p = NONE, estimate.get(name)
        yield [estimate.analysis_id, estimate.visit, who, plain(name), value, p_value(p)]


def _named(statistics: Mapping[str, float | None]) -> Iterator[str]:
    """The statistics that are estimates of their own, not sizes, errors or ends of another's interval."""
    for name, value in statistics.items():
        stem, _, part = name.rpartition("_")
        own = part in {"lower", "upper"} or (part in {"se", "p"} and stem in statistics)
        if value is not None and name not in _INFERENCE and not own:
            yield name
    if set(statistics) == {"p"}:
        yield "p"


def _part(estimate: Estimate, name: str, part: str, *, shared: bool) -> float | None:
    """An end of a statistic's interval, or its p value: its own, else (if `shared`) the one that all have."""
    own = [key for key in estimate.statistics if key.endswith(f"_{part}") and name.startswith(key[: -len(part) - 1])]
    if own:
        return estimate.get(max(own, key=len))
    return estimate.get(part) if shared else None


def _is_p(name: str) -> bool:
    return name == "p" or name.endswith("_p") or name.startswith("p_")


def _value(name: str, value: float | None, lower: float | None, upper: float | None) -> str:
    digits = 1 if name.startswith("percent_") else 3
    if lower is not None or upper is not None:
        return interval(value, lower, upper, digits=digits)
    return count(value) if value == round(value or 0) else number(value, digits)
