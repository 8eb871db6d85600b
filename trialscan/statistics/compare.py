"""The comparison of the arms: descriptive statistics, slopes and visit-wise differences of every endpoint."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from trialscan.errors import StatisticsError
from trialscan.statistics import ancova, mmrm_analysis, slope_analysis
from trialscan.statistics.agreement import Agreement, agreement
from trialscan.statistics.arm_data import EndpointData, endpoint_data, read_analysis
from trialscan.statistics.columns import listed
from trialscan.statistics.descriptive import describe
from trialscan.statistics.estimand import estimand_record, under_estimand
from trialscan.statistics.further.run import further_analyses
from trialscan.statistics.missingness import KIND as MISSINGNESS
from trialscan.statistics.missingness import missingness
from trialscan.statistics.plan import AnalysisPlan
from trialscan.statistics.residuals import residuals_table
from trialscan.statistics.rows import NOT_ESTIMABLE, Analysis, ResultRow, results_table
from trialscan.statistics.sensitivity import sensitivity_analyses


@dataclass(frozen=True)
class ArmComparison:
    """What a comparison found.

    results: the table of results.csv, a row a statistic. models: a record each fit, of plain JSON values. absent:
    (analysis_id, reason) of every comparison that the data do not allow; each is a row `not_estimable` too.
    residuals: the table of residuals.csv, a row each observation of every mixed model. primary: the analysis_id of the
    primary comparison.
    """

    results: pd.DataFrame
    models: list[dict[str, Any]]
    absent: tuple[tuple[str, str], ...]
    residuals: pd.DataFrame
    primary: str

    @property
    def agreement(self) -> Agreement:
        """What the independent checks of the fits came to."""
        return agreement(self.models)

    @property
    def primary_absent(self) -> str | None:
        """Why the primary comparison (of an MMRM, that at the last visit) compares no arm; None where it does."""
        rows = self.results[(self.results["analysis_id"] == self.primary) & (self.results["comparator"] != "")]
        last = rows[rows["visit"] == rows["visit"].iloc[-1]] if len(rows) else rows
        if (last.loc[last["statistic"] == "p", "value"].notna()).any():
            return None
        return str(self.document()["absent"].get(self.primary, "no reason recorded"))

    def document(self) -> dict[str, Any]:
        """The content of models.json: {"models": […], "absent": {analysis_id: reasons}}."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.absent:
            reasons.setdefault(name, []).append(reason)
        return {"models": self.models, "absent": {name: "; ".join(each) for name, each in reasons.items()}}

    def models_json(self) -> str:
        """The text of models.json, the same for the same fits."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass
class _Gathered:
    """What the analyses have given so far."""

    rows: list[ResultRow] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    absent: list[tuple[str, str]] = field(default_factory=list)
    residuals: list[pd.DataFrame] = field(default_factory=list)

    def add(self, analysis_id: str, parameter: str, analyse: Callable[[], Analysis], visit: str = "") -> None:
        """Take an analysis' rows and record, or the reason why there are none."""
        try:
            rows, model, too_few = analyse()
        except StatisticsError as error:
            self._miss(ResultRow(analysis_id, parameter, NOT_ESTIMABLE, None, visit, note=str(error)))
            return
        self.rows += rows
        self.models.append(model)
        for row in rows:
            if row.statistic == NOT_ESTIMABLE and row.comparator:
                where = f"visit {row.visit}, arm {row.arm}" if row.visit else f"arm {row.arm}"
                self.absent.append((row.analysis_id, f"{where}: {row.note}"))
        for arm, why in too_few.items():
            reason, reference = f"arm {arm} has {why}", str(model["reference_arm"])
            self._miss(ResultRow(analysis_id, parameter, NOT_ESTIMABLE, None, visit, arm, reference, reason))

    def _miss(self, row: ResultRow) -> None:
        reason = row.note if not row.visit or row.visit in row.note else f"visit {row.visit}: {row.note}"
        self.absent.append((row.analysis_id, reason))
        self.rows.append(row)


def compare_arms(analysis: pd.DataFrame, plan: AnalysisPlan) -> ArmComparison:
    """Compare the arms in every endpoint of the plan.

    Parameters
    ----------
    analysis : a row a patient, parameter and visit with the columns of tables/analysis.csv, covariates in capitals; the
        order of its rows does not matter.
    plan : endpoints, covariates, reference arm, alpha, and the least number of patients an arm needs.

    Each endpoint gets `<name>.descriptive` (raw scale), `<name>.random_slope` (slopes by arm, their differences from
    the reference; Kenward–Roger), `<name>.ancova` (adjusted mean change by arm at each visit after baseline, their
    differences; exact t), or in its place `<name>.mmrm` where the plan's model is that, and `<name>.missingness`. The
    primary one also gets its estimand and the plan's sensitivity analyses, `primary.reference_based.<strategy>` and
    `primary.tipping_point`. The plan's further analyses follow (`responders.<name>`, `counts.<name>`, `events.<name>`,
    `primary.subgroup.<column>`, `multiplicity`). What the data do not allow is absent with its reason.

    Raises
    ------
    StatisticsError : a fault of the table itself; it names the patient, the visit or the column.
    """
    table = read_analysis(analysis, plan)
    _refuse_unknown_reference(table, plan)
    gathered = _Gathered()
    for name, endpoint in plan.named_endpoints.items():
        _compare_endpoint(endpoint_data(table, name, endpoint), plan, gathered)
    for analysis_id, parameter, analyse, visit in further_analyses(table, plan, gathered.rows, gathered.models):
        gathered.add(analysis_id, parameter, analyse, visit)
    return ArmComparison(
        results=results_table(gathered.rows),
        models=gathered.models,
        absent=tuple(gathered.absent),
        residuals=residuals_table(gathered.residuals),
        primary=f"primary.{plan.model}",
    )


def _compare_endpoint(data: EndpointData, plan: AnalysisPlan, gathered: _Gathered) -> None:
    gathered.rows += describe(data)
    used = under_estimand(data, plan.estimand)
    _compare_arms(used, plan, gathered)
    gathered.add(f"{data.name}.{MISSINGNESS}", data.code, partial(missingness, data, used))
    if data.endpoint.primary:
        gathered.models.append(estimand_record(data, plan))
        for analysis_id, analyse in sensitivity_analyses(data, used, plan):
            gathered.add(analysis_id, data.code, analyse)


def _compare_arms(data: EndpointData, plan: AnalysisPlan, gathered: _Gathered) -> None:
    slope_id, visit_id = f"{data.name}.{slope_analysis.KIND}", f"{data.name}.{ancova.KIND}"
    keep = gathered.residuals.append
    gathered.add(slope_id, data.code, partial(slope_analysis.analyse_slopes, data, plan, keep))
    if plan.model == "mmrm":
        analyse = partial(mmrm_analysis.analyse_visits, data, plan, keep)
        gathered.add(f"{data.name}.{mmrm_analysis.KIND}", data.code, analyse)
    visits = ancova.chosen_visits(data, plan)
    if not visits and plan.model == "random_slope" and plan.ancova is None:
        gathered.add(visit_id, data.code, partial(_no_visits, data))
    for visit in visits:
        gathered.add(visit_id, data.code, partial(ancova.analyse_visit, data, plan, visit), visit)


def _no_visits(data: EndpointData) -> Analysis:
    raise StatisticsError(f"parameter {data.code}", "no patient has a value after baseline", "a follow-up visit")


def _refuse_unknown_reference(table: pd.DataFrame, plan: AnalysisPlan) -> None:
    arms = sorted(table["TRT01P"].dropna().unique())
    if plan.reference_arm is not None and len(arms) > 1 and plan.reference_arm not in arms:
        raise StatisticsError("plan: reference_arm", f"no arm named {plan.reference_arm!r}", f"one of {listed(arms)}")
