"""What a protocol says of intercurrent events and of missing outcomes, in the words of ICH E9(R1)."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from trialscan.study.columns import KNOWN_COLUMNS
from trialscan.study.conflicts import Conflict, rising_pair
from trialscan.study.section import Name, Section, Text

EventStrategy = Literal["treatment_policy", "hypothetical", "composite", "while_on_treatment", "principal_stratum"]
Imputation = Literal["MAR", "JR", "CIR", "CR", "LMCF"]
CARRIED_OUT: tuple[EventStrategy, ...] = ("treatment_policy", "hypothetical")


class IntercurrentEvent(Section):
    """An event after the start of treatment, and how the estimand deals with it.

    `event_day` names a column of the manifest: the first study day that the event affects, the same in all rows of a
    patient, empty for none. Without it the event is drop-out: the visits after a patient's last observed outcome.
    """

    event: Text
    strategy: EventStrategy
    event_day: Name | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """A strategy that is not carried out, and a day in a column with a meaning of its own."""
        if self.strategy not in CARRIED_OUT:
            text = f"{self.strategy!r} is not carried out by trialscan; expected {' or '.join(CARRIED_OUT)}"
            yield Conflict(("strategy",), text)
        if self.event_day is not None and self.event_day.lower() in KNOWN_COLUMNS:
            text = f"{self.event_day!r} is a column with a meaning of its own and cannot hold the day of an event"
            yield Conflict(("event_day",), text)


class EstimandSettings(Section):
    """The estimand's attributes beside the variable, which is the endpoint; `summary` null: what the model compares."""

    population: Text = "all patients with an arm and a baseline value"
    treatment: Text | None = None
    intercurrent_events: tuple[IntercurrentEvent, ...] = ()
    summary: Text | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """An event twice, a column twice, and two events that both mean drop-out."""
        names: set[str] = set()
        columns: set[str | None] = set()
        for index, event in enumerate(self.intercurrent_events):
            where = ("intercurrent_events", str(index))
            if event.event in names:
                yield Conflict((*where, "event"), f"event {event.event!r} is listed twice")
            if event.event_day in columns:
                found = "no event_day" if event.event_day is None else f"event_day {event.event_day!r}"
                yield Conflict((*where, "event_day"), f"{found}, as an event before it; name a column for each")
            names.add(event.event)
            columns.add(event.event_day)


class TippingPointSettings(Section):
    """Deltas added to imputed outcomes; `deltas` null takes two pooled standard deviations either side of zero."""

    deltas: Annotated[tuple[float, float], AfterValidator(rising_pair)] | None = None
    steps: Annotated[int, Field(ge=1, le=1000)] = 20
    strategy: Imputation = "MAR"
    shifted_arms: Literal["non_reference", "all"] = "non_reference"


class MissingDataSettings(Section):
    """Sensitivity analyses of the primary endpoint with missing outcomes imputed; `strategies` empty: none."""

    strategies: tuple[Imputation, ...] = ()
    method: Literal["conditional_mean", "rubin"] = "conditional_mean"
    imputations: Annotated[int, Field(ge=2, le=10_000)] = 100
    seed: Annotated[int, Field(ge=0)] = 1
    tipping_point: TippingPointSettings | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """A strategy that is asked for twice."""
        for index, strategy in enumerate(self.strategies):
            if strategy in self.strategies[:index]:
                yield Conflict(("strategies", str(index)), f"strategy {strategy!r} is listed twice")
