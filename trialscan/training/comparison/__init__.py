"""Experiments beside each other on the same patients: ranks, paired differences, and who is served worse."""

from trialscan.training.comparison.contestants import Contest, Contestant, Metric, read_contest
from trialscan.training.comparison.ranking import paired_differences, ranking
from trialscan.training.comparison.report import ModelComparison, compare, compare_experiments
from trialscan.training.comparison.subgroups import subgroups

__all__ = [
    "Contest",
    "Contestant",
    "Metric",
    "ModelComparison",
    "compare",
    "compare_experiments",
    "paired_differences",
    "ranking",
    "read_contest",
    "subgroups",
]
