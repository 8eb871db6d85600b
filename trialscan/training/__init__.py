"""Making the models: simulated cases, random changes, the training loop and the bundle it ends in."""

from trialscan.training.assessment import Assessment, assess_planar, assess_volume
from trialscan.training.augment_planar import planar_patch
from trialscan.training.augment_slice import slice_patch
from trialscan.training.augment_volume import volume_patch
from trialscan.training.cases import Case, load_case, save_case
from trialscan.training.config import TrainingConfig, load_config
from trialscan.training.export import write_bundle
from trialscan.training.loop import average_weights, mean_weights, train
from trialscan.training.phantoms import load_cases, make_cases

__all__ = [
    "Assessment",
    "Case",
    "TrainingConfig",
    "assess_planar",
    "assess_volume",
    "average_weights",
    "load_case",
    "load_cases",
    "load_config",
    "make_cases",
    "mean_weights",
    "planar_patch",
    "save_case",
    "slice_patch",
    "train",
    "volume_patch",
    "write_bundle",
]
