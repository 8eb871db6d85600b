"""Missing outcomes: reference-based imputation by conditional mean, with the jackknife."""

from trialscan.statistics.imputation.analysis import ReferenceBasedResult, reference_based
from trialscan.statistics.imputation.strategies import LABELS, STRATEGIES

__all__ = ["LABELS", "STRATEGIES", "ReferenceBasedResult", "reference_based"]
