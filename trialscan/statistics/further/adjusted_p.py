"""Adjustment of the primary comparisons of endpoints and arms for their number, as a plan says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics.further.multiplicity import adjust_p, gatekeep
from trialscan.statistics.further.plan import FamilyPlan, MultiplicityPlan
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.rows import Analysis, ResultRow, statistics_rows

KIND = "multiplicity"
PROCEDURES = {
    "bonferroni": "Bonferroni",
    "holm": "Holm (1979), step-down",
    "hochberg": "Hochberg (1988), step-up; for independent or positively dependent statistics",
    "hommel": "Hommel (1988); for independent or positively dependent statistics",
    "fixed_sequence": "fixed sequence (Maurer, Hothorn & Lehmacher 1995): each tested after all before it are rejected",
    "gatekeeping": "serial gatekeeping (Westfall & Krishen 2001; Dmitrienko & Tamhane 2007): a family is "
    "tested once every hypothesis of the families before it is rejected",
}


@dataclass(frozen=True)
class Hypothesis:
    """That an arm does not differ from the reference in an endpoint's primary comparison; `p` None without one."""

    endpoint: str
    parameter: str
    visit: str
    arm: str
    comparator: str
    p: float | None

    @property
    def key(self) -> str:
        """Its name among all."""
        return f"{self.endpoint}: {self.arm}"


def adjust_comparisons(table: pd.DataFrame, plan: AnalysisPlan, rows: Sequence[ResultRow]) -> Analysis:
    """Rows `p`, `p_adjusted` and `rejected` for every hypothesis of the plan's families, from the rows of the models.

    A comparison that could not be made counts as p = 1 and cannot be rejected.

    Raises
    ------
    StatisticsError : there are not two arms, or a method that is not known.
    """
    multiplicity = plan.further.multiplicity
    if multiplicity.method not in PROCEDURES:
        expected = f"one of none, {', '.join(name for name in PROCEDURES if name != 'bonferroni')}"
        raise StatisticsError("plan: multiplicity", f"{multiplicity.method!r}", expected)
    families = [_hypotheses(family, table, plan, rows) for family in _families(multiplicity, plan)]
    adjusted = _adjusted(multiplicity, _families(multiplicity, plan), families)
    procedure = PROCEDURES[multiplicity.method]
    out: list[ResultRow] = []
    records = []
    for number, family in enumerate(families, start=1):
        for each in family:
            p = 1.0 if each.p is None else each.p
            values = {"p": p, "p_adjusted": adjusted[each.key]}
            values["rejected"] = float(adjusted[each.key] <= plan.alpha)
            remark = "" if each.p is not None else "; the comparison could not be made and counts as p = 1"
            where = {"visit": each.visit, "arm": each.arm, "comparator": each.comparator}
            out += statistics_rows(KIND, each.parameter, values, note=f"{procedure}{remark}", **where)
            records.append(
                {"endpoint": each.endpoint, "parameter": each.parameter, "family": number, **where, **values}
            )
    record = {
        "analysis_id": KIND,
        "kind": KIND,
        "method": multiplicity.method,
        "procedure": procedure,
        "alpha": plan.alpha,
        "reference_arm": _arms(table, plan)[0],
        "families": [
            {"endpoints": list(family.endpoints), "within": PROCEDURES[family.method]}
            for family in _families(multiplicity, plan)
        ],
        "hypotheses": records,
    }
    return out, record, {}


def _families(multiplicity: MultiplicityPlan, plan: AnalysisPlan) -> tuple[FamilyPlan, ...]:
    names = tuple(plan.named_endpoints)
    if multiplicity.method != "gatekeeping":
        return (FamilyPlan(names, multiplicity.method),)
    default = (FamilyPlan(names[:1]), *((FamilyPlan(names[1:]),) if names[1:] else ()))
    return multiplicity.families or default


def _hypotheses(
    family: FamilyPlan, table: pd.DataFrame, plan: AnalysisPlan, rows: Sequence[ResultRow]
) -> list[Hypothesis]:
    """In the order of endpoints and then of arms."""
    reference, *others = _arms(table, plan)
    found = []
    for name in family.endpoints:
        if name not in plan.named_endpoints:
            known = ", ".join(plan.named_endpoints)
            raise StatisticsError("plan: multiplicity", f"no endpoint {name!r}", f"one of {known}")
        code = plan.named_endpoints[name].paramcd
        for arm in others:
            made = [row for row in rows if row.analysis_id == f"{name}.{plan.model}" and row.comparator]
            mine = [row for row in made if row.arm == arm]
            visit = mine[-1].visit if mine else ""
            found.append(Hypothesis(name, code, visit, arm, reference, _p_value(mine, visit)))
    return found


def _p_value(rows: Sequence[ResultRow], visit: str) -> float | None:
    """Of a comparison at its last visit, which is the primary one; None where that is not estimable."""
    known = [row.value for row in rows if row.statistic == "p" and row.visit == visit]
    return known[0] if known and known[0] is not None and np.isfinite(known[0]) else None


def _arms(table: pd.DataFrame, plan: AnalysisPlan) -> list[str]:
    """The reference arm, then the others by name."""
    arms = sorted(table["TRT01P"].dropna().unique())
    if len(arms) < 2:
        raise StatisticsError("column 'TRT01P'", f"{len(arms)} arm(s)", "at least two arms to compare")
    reference = plan.reference_arm if plan.reference_arm is not None else arms[0]
    return [reference, *(arm for arm in arms if arm != reference)]


def _adjusted(
    multiplicity: MultiplicityPlan, families: Sequence[FamilyPlan], hypotheses: Sequence[Sequence[Hypothesis]]
) -> dict[str, float]:
    p = [{each.key: 1.0 if each.p is None else each.p for each in family} for family in hypotheses]
    if multiplicity.method == "gatekeeping":
        return gatekeep(p, [family.method for family in families])
    return adjust_p(p[0], multiplicity.method.replace("_", "-"))
