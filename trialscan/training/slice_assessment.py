"""How a model of CT slices does on simulated pictures that it never saw, by extent of disease and noise."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from trialscan.imaging import Units, Volume
from trialscan.segmentation import Segmenter, compare_masks
from trialscan.training.config import DataSettings, DiseaseSettings
from trialscan.training.disease import GROUND_GLASS, LUNG, Slice, paint_disease
from trialscan.training.phantoms import simulate_slice, slice_case

EXTENT_BANDS_PERCENT = (0.0, 2.0, 10.0, 30.0, 100.0)
NOISE_BANDS_HU = (0.0, 20.0, 40.0, 60.0)
_WINDOW_HU = (-1200.0, 200.0)
_HEALTHY = 0.15


def assess_slices(segmenter: Segmenter, data: DataSettings, seeds: Iterable[int]) -> pd.DataFrame:
    """Segment one simulated 8-bit lung-window picture a seed; a row each.

    `data` says which slabs are drawn. `disease_percent` is the diseased share of the lungs; `found_percent` what of
    the lungs' truth the model calls diseased, which is all there is to tell of a healthy slice.
    """
    return pd.DataFrame([_row(segmenter, data, seed) for seed in seeds])


def by_extent(slices: pd.DataFrame) -> pd.DataFrame:
    """Diseased slices by the share of the lungs that is diseased: how many, and their Dice."""
    return _by(slices, "disease_percent", EXTENT_BANDS_PERCENT)


def by_noise(slices: pd.DataFrame) -> pd.DataFrame:
    """Diseased slices by the noise added, HU: how many, and their Dice."""
    return _by(slices, "noise_hu", NOISE_BANDS_HU)


def fresh_slice(data: DataSettings, seed: int) -> tuple[Volume, Slice, float]:
    """A windowed 8-bit picture without known spacing, the slice it shows, and the noise added to it (HU)."""
    rng = np.random.default_rng([seed, 6])
    case = slice_case(simulate_slice(data, seed))
    healthy = Slice(
        torch.from_numpy(case.image[..., 0].astype(np.float32)), torch.from_numpy(case.labels[..., 0]).long()
    )
    painted = DiseaseSettings(share_of_slices=0.0 if rng.random() < _HEALTHY else 1.0)
    scan = paint_disease(healthy, painted, rng)
    noise_hu = float(rng.uniform(NOISE_BANDS_HU[0], NOISE_BANDS_HU[-1]))
    low, high = _WINDOW_HU
    image = scan.image.numpy() + noise_hu * rng.standard_normal(tuple(scan.image.shape))
    grey = (255.0 * (image - low) / (high - low)).clip(0, 255).round().astype(np.uint8)
    return Volume(grey[..., None], np.eye(4), Units.INTENSITY, spacing_known=False), scan, noise_hu


def _row(segmenter: Segmenter, data: DataSettings, seed: int) -> dict[str, float | None]:
    picture, scan, noise_hu = fresh_slice(data, seed)
    found = segmenter(picture).labels
    truth = picture.with_array(scan.labels.numpy().astype(np.uint8)[..., None], Units.LABEL)
    lungs, lesions = (compare_masks(_at_least(found, least), _at_least(truth, least)) for least in (LUNG, GROUND_GLASS))
    inside = truth.array >= LUNG
    size = max(1, int(inside.sum()))
    return {
        "seed": seed,
        "noise_hu": noise_hu,
        "disease_percent": 100.0 * float((truth.array >= GROUND_GLASS).sum()) / size,
        "found_percent": 100.0 * float((found.array >= GROUND_GLASS).sum()) / size,
        "lung_dice": lungs["dice"],
        "lesion_dice": lesions["dice"],
    }


def _by(slices: pd.DataFrame, column: str, bands: tuple[float, ...]) -> pd.DataFrame:
    diseased = slices[slices["disease_percent"] > 0]
    return diseased.groupby(pd.cut(diseased[column], bands), observed=True).agg(
        slices=("seed", "size"), lesion_dice=("lesion_dice", "mean"), lung_dice=("lung_dice", "mean")
    )


def _at_least(mask: Volume, label: int) -> Volume:
    return mask.with_array((mask.array >= label).astype(np.uint8), Units.LABEL)
