"""One scan to its organ and lesion masks, with how far to trust them."""

from trialscan.segmentation.bundle import BundleSegmenter, load_bundle
from trialscan.segmentation.contract import LabelMap, ModelIdentity, Segmenter
from trialscan.segmentation.device import choose_device
from trialscan.segmentation.evaluation import Criteria, Evaluation, evaluate
from trialscan.segmentation.files import describe, write_segmentation
from trialscan.segmentation.metrics import compare_masks
from trialscan.segmentation.scan import Segmentation, segment_scan

__all__ = [
    "BundleSegmenter",
    "Criteria",
    "Evaluation",
    "LabelMap",
    "ModelIdentity",
    "Segmentation",
    "Segmenter",
    "choose_device",
    "compare_masks",
    "describe",
    "evaluate",
    "load_bundle",
    "segment_scan",
    "write_segmentation",
]
