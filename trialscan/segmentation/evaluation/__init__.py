"""Masks against references: scan by scan, lesion by lesion, and over a folder."""

from trialscan.segmentation.evaluation.folder import evaluate
from trialscan.segmentation.evaluation.scan import Criteria
from trialscan.segmentation.evaluation.tables import Evaluation

__all__ = ["Criteria", "Evaluation", "evaluate"]
