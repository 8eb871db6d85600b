"""Analyses that a protocol may name beside the comparison of its endpoints: who responds, what is counted, when a
disease progresses, in which subgroups, and how p values are adjusted for their number."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from trialscan.study.conflicts import Conflict
from trialscan.study.section import Measure, Name, Positive, Section, Transform

NotNegative = Annotated[float, Field(ge=0)]
EndpointName = Annotated[str, Field(pattern=r"^(primary|secondary[1-9][0-9]*)$")]
NEW_LESION_COUNT: Literal["new_lesion_count"] = "new_lesion_count"


class ResponderSettings(Section):
    """Who responds: `quantity` of the measure at a visit is at most, or at least, a bound.

    `transform` is the scale on which the baseline enters the logistic regression.
    """

    name: Name
    measure: Measure
    visit: Name
    quantity: Literal["change_percent", "change", "value"] = "change_percent"
    at_most: float | None = None
    at_least: float | None = None
    missing: Literal["nonresponder", "excluded"] = "nonresponder"
    transform: Transform = "log1p"

    def conflicts(self) -> Iterator[Conflict]:
        """No bound, or two."""
        if (self.at_most is None) == (self.at_least is None):
            found = "neither at_most nor at_least" if self.at_most is None else "both at_most and at_least"
            yield Conflict((), f"{found} is given; a response has one bound")


class CountSettings(Section):
    """New lesions from the baseline to `visit`, or to each patient's last visit where it is null."""

    name: Name
    measure: Literal["new_lesion_count"] = NEW_LESION_COUNT
    visit: Name | None = None


class EventSettings(Section):
    """Progression: the measure is `at_least_percent` and `at_least` (its own unit) `above` its nadir or baseline.

    `transform` is the scale on which the baseline enters the Cox regression.
    """

    name: Name
    measure: Measure
    above: Literal["nadir", "baseline"] = "nadir"
    at_least_percent: Positive
    at_least: NotNegative = 0.0
    transform: Transform = "log1p"


class SubgroupSettings(Section):
    """A covariate whose levels are compared; numbers are cut into levels, each up to and including its cut."""

    column: Name
    cuts: tuple[float, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if isinstance(given, dict) and isinstance(given.get("cuts"), list):
            return given | {"cuts": tuple(given["cuts"])}  # behind a validator pydantic no longer knows a JSON list
        return {"column": given} if isinstance(given, str) else given

    def conflicts(self) -> Iterator[Conflict]:
        """Cuts that do not rise."""
        if list(self.cuts) != sorted(set(self.cuts)):
            yield Conflict(("cuts",), f"found {', '.join(f'{cut:g}' for cut in self.cuts)}; expected rising numbers")


class FamilySettings(Section):
    """Endpoints that are tested together, once every hypothesis of the family before is rejected."""

    endpoints: tuple[EndpointName, ...]
    method: Literal["holm", "hochberg", "hommel", "bonferroni"] = "holm"

    def conflicts(self) -> Iterator[Conflict]:
        """A family of nothing."""
        if not self.endpoints:
            yield Conflict(("endpoints",), "found none; expected one endpoint or more")


class MultiplicitySettings(Section):
    """How the primary comparisons of the endpoints and arms are adjusted for their number.

    `families` belong to gatekeeping, in order of importance; none given are the primary and then all secondary
    endpoints, each by Holm's method.
    """

    method: Literal["none", "holm", "hochberg", "hommel", "fixed_sequence", "gatekeeping"] = "none"
    families: tuple[FamilySettings, ...] = ()

    def conflicts(self) -> Iterator[Conflict]:
        """Families without gatekeeping, and an endpoint in two of them."""
        if self.families and self.method != "gatekeeping":
            yield Conflict(("families",), f"families belong to method gatekeeping; the method is {self.method}")
        seen: set[str] = set()
        for index, family in enumerate(self.families):
            for place, endpoint in enumerate(family.endpoints):
                if endpoint in seen:
                    text = f"endpoint {endpoint!r} is in a family already"
                    yield Conflict(("families", str(index), "endpoints", str(place)), text)
                seen.add(endpoint)
