"""The further analyses that a plan names, in order, ready to be made."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from trialscan.statistics.further.adjusted_p import KIND as MULTIPLICITY
from trialscan.statistics.further.adjusted_p import adjust_comparisons
from trialscan.statistics.further.count_analysis import KIND as COUNTS
from trialscan.statistics.further.count_analysis import count_analysis
from trialscan.statistics.further.event_analysis import KIND as EVENTS
from trialscan.statistics.further.event_analysis import event_analysis
from trialscan.statistics.further.responder_analysis import KIND as RESPONDERS
from trialscan.statistics.further.responder_analysis import responder_analysis
from trialscan.statistics.further.subgroups import subgroup_analysis
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.rows import Analysis, ResultRow


def further_analyses(
    table: pd.DataFrame, plan: AnalysisPlan, rows: Sequence[ResultRow], models: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str, Callable[[], Analysis], str]]:
    """(analysis_id, parameter, analysis, visit) of each; `rows` and `models` are those of the endpoints' own models."""
    further, primary = plan.further, plan.named_endpoints["primary"].paramcd
    for subgroup in further.subgroups:
        made = partial(subgroup_analysis, table, plan, subgroup, models)
        yield f"primary.subgroup.{subgroup.column}", primary, made, ""
    for responder in further.responders:
        made = partial(responder_analysis, table, plan, responder)
        yield f"{RESPONDERS}.{responder.name}", responder.paramcd, made, responder.visit
    for count in further.counts:
        yield f"{COUNTS}.{count.name}", count.paramcd, partial(count_analysis, table, plan, count), count.visit or ""
    for event in further.events:
        yield f"{EVENTS}.{event.name}", event.paramcd, partial(event_analysis, table, plan, event), ""
    if further.multiplicity.method != "none":
        yield MULTIPLICITY, primary, partial(adjust_comparisons, table, plan, rows), ""
