"""Training cases from simulated scans of the trial's own phantom generator."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trialscan.errors import UsageError
from trialscan.phantom import (
    Phantom,
    Radiograph,
    ThoraxSpec,
    simulate_radiograph,
    simulate_thorax,
    whole_thorax,
)
from trialscan.segmentation.resampling import resample_image, target_shape
from trialscan.training.cases import Case, load_case, lung_boxes, save_case
from trialscan.training.config import DataSettings, TrainingConfig

LUNG, OPACITY = 1, 2


def make_cases(config: TrainingConfig, folder: Path, seeds: Sequence[int], jobs: int = 1) -> list[Path]:
    """Simulate one case a seed into `folder`; those already there are kept. Returns their files in seed order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"case_{seed}.npz" for seed in seeds]
    missing = [(seed, path) for seed, path in zip(seeds, paths, strict=True) if not path.exists()]
    make = partial(_make_case, config)
    if jobs == 1:
        for seed, path in missing:
            make(seed, path)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            list(pool.map(make, *zip(*missing, strict=True))) if missing else None
    return paths


def load_cases(paths: Sequence[Path]) -> list[Case]:
    """Read cases in the order given."""
    return [load_case(path) for path in paths]


def volume_case(phantom: Phantom, spacing_mm: Sequence[float]) -> Case:
    """A phantom on the model's grid: labels 1 lung, 2 ground glass, 3 consolidation."""
    shape = target_shape(phantom.image.shape, phantom.image.spacing_mm, spacing_mm)
    image = torch.from_numpy(np.ascontiguousarray(phantom.image.array, dtype=np.float32)).clamp(-1024, 3000)
    labels = merged_labels(phantom.organ.array, phantom.lesions.array)
    organ = _resample_labels(phantom.organ.array, shape)
    return Case(
        resample_image(image, shape).numpy().astype(np.float16), _resample_labels(labels, shape), lung_boxes(organ)
    )


def merged_labels(organ: NDArray[np.integer], lesions: NDArray[np.integer]) -> NDArray[np.uint8]:
    """One label map of an organ mask (any positive) and lesion classes 1 ground glass, 2 consolidation."""
    return np.where(lesions > 0, lesions + LUNG, np.where(organ > 0, LUNG, 0)).astype(np.uint8)


def _resample_labels(labels: NDArray[np.integer], shape: Sequence[int]) -> NDArray[np.uint8]:
    classes = torch.arange(int(labels.max()) + 1)[:, None, None, None]
    shares = resample_image((torch.from_numpy(labels.astype(np.int64))[None] == classes).float(), shape)
    return shares.argmax(0).to(torch.uint8).numpy()


def planar_case(picture: Radiograph) -> Case:
    """A simulated radiograph: grey levels 0 … 1, labels 1 lung, 2 opacity."""
    labels = np.where(picture.opacities.array > 0, OPACITY, np.where(picture.lungs.array > 0, LUNG, 0))
    grey = picture.image.array.astype(np.float32) / np.iinfo(picture.image.array.dtype).max
    return Case(grey.astype(np.float16), labels.astype(np.uint8), lung_boxes(picture.lungs.array))


def simulate_slice(data: DataSettings, seed: int) -> Phantom:
    """A slab of three slices at a random height of the lungs, sometimes healthy; the middle one is meant."""
    rng = np.random.default_rng([seed, 2])
    spec = ThoraxSpec.random(rng)
    in_plane, thickness = float(rng.uniform(*data.in_plane_mm)), float(rng.uniform(*data.slice_mm))
    spacing = (in_plane, in_plane, thickness)
    whole = whole_thorax(spec, spacing)
    middle = float(rng.uniform(spec.base_z - 15, spec.apex_z - 15))
    grid = replace(whole, shape=(*whole.shape[:2], 3), origin_mm=(*whole.origin_mm[:2], middle - thickness))
    return simulate_thorax(
        seed,
        lesions=() if rng.random() < data.empty_share else None,
        breathing=float(rng.uniform(-1, 1)),
        spec=spec,
        grid=grid,
    )


def slice_case(slab: Phantom) -> Case:
    """The middle slice of a slab: HU, labels 1 lung, 2 ground glass, 3 consolidation."""
    image, organ, lesions = (v.array[..., 1:2] for v in (slab.image, slab.organ, slab.lesions))
    return Case(image.clip(-1024, 3000).astype(np.float16), merged_labels(organ, lesions), lung_boxes(organ))


def _make_case(config: TrainingConfig, seed: int, path: Path) -> None:
    if config.planar_source == "ct_slice":
        save_case(path, slice_case(simulate_slice(config.data, seed)))
        return
    if config.kind == "planar":
        save_case(path, planar_case(simulate_radiograph(seed)))
        return
    if config.spacing_mm is None:
        raise UsageError(config.name, "no spacing_mm", "the model's voxel edges in mm")
    save_case(path, volume_case(_scan(config.data, seed), config.spacing_mm))


def _scan(data: DataSettings, seed: int) -> Phantom:
    """A thorax CT on the generator's own grid or a random one, at a random breath, sometimes healthy."""
    rng = np.random.default_rng([seed, 1])
    in_plane, thickness = float(rng.uniform(*data.in_plane_mm)), float(rng.uniform(*data.slice_mm))
    on_own_grid = rng.random() < data.default_grid_share
    return simulate_thorax(
        seed,
        (2.5, 2.5, 2.5) if on_own_grid else (in_plane, in_plane, thickness),
        lesions=() if rng.random() < data.empty_share else None,
        breathing=float(rng.uniform(-1, 1)),
    )
