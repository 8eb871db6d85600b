"""The further analyses of a plan, as plain values: responders, counts, times to an event, subgroups, multiplicity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trialscan.errors import StatisticsError
from trialscan.study import AnalysisSettings

Transform = Literal["log1p", "none"]


@dataclass(frozen=True)
class ResponderPlan:
    """Patients whose `quantity` of a parameter at a visit is `at_most` or `at_least` a bound respond.

    `quantity` is "value", "change" or "change_percent" from baseline. A patient without a value at the visit is a
    "nonresponder" or "excluded", as `missing` says. `transform` is the scale of the baseline as covariate.
    """

    name: str
    paramcd: str
    visit: str
    quantity: Literal["change_percent", "change", "value"] = "change_percent"
    at_most: float | None = None
    at_least: float | None = None
    missing: Literal["nonresponder", "excluded"] = "nonresponder"
    transform: Transform = "log1p"

    def __post_init__(self) -> None:
        """Refuse a response without one bound."""
        if (self.at_most is None) == (self.at_least is None):
            raise StatisticsError(f"responders {self.name}", "not one bound", "either at_most or at_least")

    @property
    def bound(self) -> float:
        """The one that is given."""
        return next(bound for bound in (self.at_most, self.at_least) if bound is not None)


@dataclass(frozen=True)
class CountPlan:
    """Counts of a parameter, each since the visit before it, summed up to `visit` (None: each patient's last)."""

    name: str
    paramcd: str
    visit: str | None = None


@dataclass(frozen=True)
class EventPlan:
    """Progression: a parameter `at_least_percent` % and `at_least` (its unit) `above` its "nadir" or "baseline"."""

    name: str
    paramcd: str
    above: Literal["nadir", "baseline"] = "nadir"
    at_least_percent: float = 20.0
    at_least: float = 0.0
    transform: Transform = "log1p"


@dataclass(frozen=True)
class SubgroupPlan:
    """A column of the analysis table, in capitals, and where its numbers are cut into levels."""

    column: str
    cuts: tuple[float, ...] = ()


@dataclass(frozen=True)
class FamilyPlan:
    """Endpoints, by names as primary or secondary1, that are tested together, and the method within."""

    endpoints: tuple[str, ...]
    method: str = "holm"


@dataclass(frozen=True)
class MultiplicityPlan:
    """How p values are adjusted: "none", "holm", "hochberg", "hommel", "fixed_sequence" or "gatekeeping"."""

    method: str = "none"
    families: tuple[FamilyPlan, ...] = ()


@dataclass(frozen=True)
class FurtherPlan:
    """All further analyses; none unless named."""

    responders: tuple[ResponderPlan, ...] = ()
    counts: tuple[CountPlan, ...] = ()
    events: tuple[EventPlan, ...] = ()
    subgroups: tuple[SubgroupPlan, ...] = ()
    multiplicity: MultiplicityPlan = MultiplicityPlan()


def further_plan(analysis: AnalysisSettings, codes: Mapping[str, str]) -> FurtherPlan:
    """The further analyses of a protocol; `codes` gives each measure's PARAMCD."""
    multiplicity = analysis.multiplicity
    families = tuple(FamilyPlan(family.endpoints, family.method) for family in multiplicity.families)
    return FurtherPlan(
        responders=tuple(
            ResponderPlan(
                name=each.name,
                paramcd=codes[each.measure],
                visit=each.visit,
                quantity=each.quantity,
                at_most=each.at_most,
                at_least=each.at_least,
                missing=each.missing,
                transform=each.transform,
            )
            for each in analysis.responders
        ),
        counts=tuple(CountPlan(each.name, codes[each.measure], each.visit) for each in analysis.counts),
        events=tuple(
            EventPlan(each.name, codes[each.measure], each.above, each.at_least_percent, each.at_least, each.transform)
            for each in analysis.events
        ),
        subgroups=tuple(SubgroupPlan(each.column.upper(), each.cuts) for each in analysis.subgroups),
        multiplicity=MultiplicityPlan(multiplicity.method, families),
    )
