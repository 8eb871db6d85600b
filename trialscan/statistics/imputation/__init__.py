"""Missing outcomes: reference-based imputation with jackknife or Rubin's rules, and delta adjustment."""

from trialscan.statistics.imputation.analysis import Method, ReferenceBasedResult, reference_based
from trialscan.statistics.imputation.strategies import STRATEGIES
from trialscan.statistics.imputation.tipping import Shifted, TippingPoint, tipping_points

__all__ = [
    "STRATEGIES",
    "Method",
    "ReferenceBasedResult",
    "Shifted",
    "TippingPoint",
    "reference_based",
    "tipping_points",
]
