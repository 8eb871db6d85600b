"""An endpoint's missing outcomes imputed under the plan's strategies, for the sensitivity analyses that share them."""

from dataclasses import dataclass
from typing import Any

from trialscan.statistics.arm_data import EndpointData
from trialscan.statistics.full_grid import AFFECTED, BASELINE, FullGrid, full_grid
from trialscan.statistics.imputation import ReferenceBasedResult, reference_based
from trialscan.statistics.plan import AnalysisPlan


@dataclass(frozen=True)
class Imputed:
    """The completed data of an endpoint and what they were made of."""

    data: EndpointData
    grid: FullGrid
    result: ReferenceBasedResult

    def record(self, analysis_id: str, kind: str) -> dict[str, Any]:
        """What every record of an imputation says."""
        result, arms = self.result, self.grid.arms
        return {
            "analysis_id": analysis_id,
            "kind": kind,
            "parameter": self.data.code,
            "label": self.data.label,
            "transform": self.data.endpoint.transform,
            "alpha": result.alpha,
            "reference_arm": arms.reference,
            "patients_by_arm": {arm: int((result.problem.arm_of == i).sum()) for i, arm in enumerate(arms.names)},
            "covariates": list(self.grid.covariates),
            "left_out": {**self.data.left_out, **self.grid.left_out},
            "imputation_model": f"MMRM by REML: {result.formula}, covariance {result.covariance}",
            "fallback": list(result.fallback),
            "analysis": result.analysis,
            "n_refits": result.n_refits,
            "n_redrawn": result.n_redrawn,
        }

    def n_imputed(self, arm: str, visit: str) -> int:
        """Imputed outcomes of an arm at a visit."""
        problem = self.result.problem
        mine = problem.arm_of == problem.arms.index(arm)
        return int(problem.missing[mine, problem.visits.index(visit)].sum())


def impute_endpoint(data: EndpointData, used: EndpointData, plan: AnalysisPlan) -> Imputed:
    """Complete the data once for every strategy that the plan names, the tipping point's included.

    `data` is what was observed and `used` what of it the estimand uses. Raises StatisticsError where the data do not
    allow it.
    """
    grid, missing = full_grid(data, used, plan), plan.missing_data
    result = reference_based(
        grid.table,
        grid.formula,
        patient="USUBJID",
        visit="AVISIT",
        arm="TRT01P",
        reference=grid.arms.reference,
        first_affected=AFFECTED,
        covariates=(BASELINE, *grid.covariates),
        strategies=missing.imputed,
        visit_order=grid.visits,
        covariance=plan.covariance,
        method=missing.method,
        imputations=missing.imputations,
        seed=missing.seed,
        alpha=plan.alpha,
    )
    return Imputed(used, grid, result)
