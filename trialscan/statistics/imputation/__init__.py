"""Missing outcomes: reference-based imputation by conditional mean, with the jackknife."""

from trialscan.statistics.imputation.analysis import ReferenceBasedResult, reference_based
from trialscan.statistics.imputation.strategies import STRATEGIES

__all__ = ["STRATEGIES", "ReferenceBasedResult", "reference_based"]
