"""Further and sensitivity analyses: whatever results.csv holds beside the main ones, in one table."""

from collections.abc import Iterator, Mapping

from reportlab.platypus import Flowable

from trialscan.reports import blocks
from trialscan.reports.comparison import MAIN_KINDS, Comparison, Estimate
from trialscan.reports.run_folder import RunFolder
from trialscan.reports.words import NONE, count, interval, number, p_value, plain

_INFERENCE = frozenset({"n", "n_patients", "n_observations", "se", "df", "t", "z", "p", "lower", "upper"})


def further_section(folder: RunFolder, comparison: Comparison) -> list[Flowable]:
    """A row each estimate of an analysis that is neither descriptive, nor of slopes, nor of changes at visits.

    Of an analysis that compares arms only the comparisons are shown; all of it is in results.csv.
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
            "was had. p values are not adjusted for multiplicity unless they are named so.",
            "caption",
        ),
    ]


def _shown(comparison: Comparison) -> list[Estimate]:
    further = [row for row in comparison.estimates if not _is_main(row.analysis_id)]
    comparing = {row.analysis_id for row in further if row.comparator and list(_named(row.statistics))}
    return [row for row in further if row.comparator or row.analysis_id not in comparing]


def _is_main(analysis_id: str) -> bool:
    parts = analysis_id.split(".")
    return len(parts) == 2 and parts[1] in MAIN_KINDS


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
