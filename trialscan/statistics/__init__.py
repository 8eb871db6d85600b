"""Mixed models and visit-wise comparisons of arms: data frames in, data frames out."""

from trialscan.statistics.check import Check, check_random_slope
from trialscan.statistics.compare import ArmComparison, compare_arms
from trialscan.statistics.estimand_plan import Estimand, IntercurrentEvent, MissingDataPlan, TippingPlan
from trialscan.statistics.inference import JointTest
from trialscan.statistics.long_table import analysis_from
from trialscan.statistics.mmrm import fit_mmrm
from trialscan.statistics.plan import AnalysisPlan, EndpointPlan, plan_from
from trialscan.statistics.random_slope import fit_random_slope
from trialscan.statistics.residuals import scaled_residuals
from trialscan.statistics.results import Convergence, MixedModelResult, SlopeCovariance, VisitCovariance

__all__ = [
    "AnalysisPlan",
    "ArmComparison",
    "Check",
    "Convergence",
    "EndpointPlan",
    "Estimand",
    "IntercurrentEvent",
    "JointTest",
    "MissingDataPlan",
    "MixedModelResult",
    "SlopeCovariance",
    "TippingPlan",
    "VisitCovariance",
    "analysis_from",
    "check_random_slope",
    "compare_arms",
    "fit_mmrm",
    "fit_random_slope",
    "plan_from",
    "scaled_residuals",
]
