"""One scan to its organ and lesion masks, with how far to trust them."""

from trialscan.segmentation.bundle import BundleSegmenter, load_bundle
from trialscan.segmentation.contract import LabelMap, ModelIdentity, Segmenter
from trialscan.segmentation.device import choose_device
from trialscan.segmentation.files import describe, write_segmentation
from trialscan.segmentation.loading import load_model
from trialscan.segmentation.metrics import compare_masks
from trialscan.segmentation.model_facts import ModelFacts, find_models, read_model_facts
from trialscan.segmentation.model_folder import ModelKind, folder_sha256, require_trust
from trialscan.segmentation.scan import Segmentation, segment_scan

__all__ = [
    "BundleSegmenter",
    "LabelMap",
    "ModelFacts",
    "ModelIdentity",
    "ModelKind",
    "Segmentation",
    "Segmenter",
    "choose_device",
    "compare_masks",
    "describe",
    "find_models",
    "folder_sha256",
    "load_bundle",
    "load_model",
    "read_model_facts",
    "require_trust",
    "segment_scan",
    "write_segmentation",
]
