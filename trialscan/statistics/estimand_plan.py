"""The plan's estimand and what it asks to be done about missing outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trialscan.errors import StatisticsError
from trialscan.statistics.imputation import STRATEGIES, Method, Shifted
from trialscan.study import EstimandSettings, MissingDataSettings

EventStrategy = Literal["treatment_policy", "hypothetical"]


@dataclass(frozen=True)
class IntercurrentEvent:
    """An event and its strategy: outcomes from it on are kept (treatment policy) or given up (hypothetical).

    `day` is the column of the analysis table with the first study day affected, in capitals; None means drop-out.
    """

    event: str
    strategy: EventStrategy
    day: str | None = None

    def __post_init__(self) -> None:
        """Refuse a strategy that is not carried out."""
        if self.strategy not in ("treatment_policy", "hypothetical"):
            raise StatisticsError(
                f"event {self.event!r}", f"strategy {self.strategy!r}", "'treatment_policy' or 'hypothetical'"
            )


@dataclass(frozen=True)
class Estimand:
    """Attributes of ICH E9(R1); the variable is the endpoint. Without events a drop-out is one, by treatment policy."""

    population: str = "all patients with an arm and a baseline value"
    treatment: str | None = None
    events: tuple[IntercurrentEvent, ...] = ()
    summary: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns with days of events."""
        return tuple(dict.fromkeys(event.day for event in self.events if event.day is not None))

    @property
    def drop_out(self) -> bool:
        """Whether visits after the last observed outcome are affected by an event."""
        return not self.events or any(event.day is None for event in self.events)


@dataclass(frozen=True)
class TippingPlan:
    """Deltas from low to high in equal steps; None: two pooled standard deviations either side of zero."""

    deltas: tuple[float, float] | None = None
    steps: int = 20
    strategy: str = "MAR"
    shifted: Shifted = "non_reference"


@dataclass(frozen=True)
class MissingDataPlan:
    """Sensitivity analyses of the primary endpoint with missing outcomes imputed; arguments of `reference_based`."""

    strategies: tuple[str, ...] = ()
    method: Method = "conditional_mean"
    imputations: int = 100
    seed: int = 1
    tipping: TippingPlan | None = None

    def __post_init__(self) -> None:
        """Refuse strategies that are not known."""
        if unknown := [name for name in self.imputed if name not in STRATEGIES]:
            raise StatisticsError(
                "plan: missing data", f"strategy {', '.join(unknown)}", f"some of {', '.join(STRATEGIES)}"
            )

    @property
    def imputed(self) -> tuple[str, ...]:
        """Every strategy under which outcomes are to be imputed, each once."""
        wanted: Sequence[str] = () if self.tipping is None else (self.tipping.strategy,)
        return tuple(dict.fromkeys((*self.strategies, *wanted)))


def estimand_from(settings: EstimandSettings) -> Estimand:
    """The estimand of a protocol."""
    events = (
        IntercurrentEvent(
            each.event,
            "hypothetical" if each.strategy == "hypothetical" else "treatment_policy",
            None if each.event_day is None else each.event_day.upper(),
        )
        for each in settings.intercurrent_events
    )
    return Estimand(settings.population, settings.treatment, tuple(events), settings.summary)


def missing_data_from(settings: MissingDataSettings) -> MissingDataPlan:
    """What a protocol says of missing data."""
    asked = settings.tipping_point
    tipping = None if asked is None else TippingPlan(asked.deltas, asked.steps, asked.strategy, asked.shifted_arms)
    return MissingDataPlan(settings.strategies, settings.method, settings.imputations, settings.seed, tipping)
