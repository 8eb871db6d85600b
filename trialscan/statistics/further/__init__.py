"""Analyses beyond the mixed models: responders, counts, time to an event, multiplicity. Libraries do the fitting."""

from trialscan.statistics.further.counts import CountAnalysis, analyse_counts
from trialscan.statistics.further.multiplicity import adjust_p, fixed_sequence, gatekeep
from trialscan.statistics.further.plan import (
    CountPlan,
    EventPlan,
    FamilyPlan,
    FurtherPlan,
    MultiplicityPlan,
    ResponderPlan,
    SubgroupPlan,
)
from trialscan.statistics.further.responders import ResponderAnalysis, analyse_responders
from trialscan.statistics.further.survival import EventAnalysis, analyse_events

__all__ = [
    "CountAnalysis",
    "CountPlan",
    "EventAnalysis",
    "EventPlan",
    "FamilyPlan",
    "FurtherPlan",
    "MultiplicityPlan",
    "ResponderAnalysis",
    "ResponderPlan",
    "SubgroupPlan",
    "adjust_p",
    "analyse_counts",
    "analyse_events",
    "analyse_responders",
    "fixed_sequence",
    "gatekeep",
]
