"""What the network is shown at a step: patches drawn and changed by the seed, the fold and the step alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trialscan.errors import Fault
from trialscan.training.augment_planar import take_picture
from trialscan.training.augment_volume import volume_patch
from trialscan.training.cases import Case
from trialscan.training.config import PlanarAugmentation, Span, VolumeAugmentation
from trialscan.training.experiments.augmentation import GenericAugmentation, augment
from trialscan.training.experiments.design import Design
from trialscan.training.experiments.preparation import PreparedCase
from trialscan.training.loop import made_ahead

Drawn = tuple[Tensor, Tensor]
Sampler = Callable[[PreparedCase, np.random.Generator], Drawn]
_NO_BOXES = np.zeros((0, 2, 3), dtype=np.int64)
_PERMUTATION, _PATCH = 0, 1


@dataclass(frozen=True)
class _Picture:
    planar: PlanarAugmentation
    grey_levels: Literal["equalise", "stretch"]
    patch: tuple[int, int, int]


@dataclass(frozen=True)
class _Scan:
    volume: VolumeAugmentation
    intensity_range: Span
    labels: dict[int, str]
    patch: tuple[int, int, int]


def make_sampler(design: Design) -> Sampler:
    """How a variant draws one patch of a case: image (channels, i, j[, k]) and classes (i, j[, k]) as int64."""
    settings, spec = design.settings.augmentation, design.preparation.spec
    if spec.kind == "planar":
        return _planar_sampler(design)
    i, j, k = design.patch
    if settings.volume is not None:
        low, high = spec.intensity_range or (0.0, 1.0)
        centred = settings.volume.model_copy(update={"lesion_centred": design.settings.foreground_centred})
        task = _Scan(centred, (low, high), dict(enumerate(design.classes.names)), (i, j, k))

        def of_scan(case: PreparedCase, rng: np.random.Generator) -> Drawn:
            values = ((case.source[0] + 1.0) * ((high - low) / 2.0) + low).numpy().astype(np.float16)
            return volume_patch(Case(values, case.target.numpy(), _NO_BOXES), task, rng)

        return of_scan
    changes = settings.generic or GenericAugmentation()

    def of_volume(case: PreparedCase, rng: np.random.Generator) -> Drawn:
        image, labels = crop(case, (i, j, k), design.settings.foreground_centred, rng)
        return augment(image, labels, changes, rng)

    return of_volume


def _planar_sampler(design: Design) -> Sampler:
    settings, spec = design.settings.augmentation, design.preparation.spec
    size = design.patch[0]
    if settings.generic is not None:
        changes = settings.generic

        def of_square(case: PreparedCase, rng: np.random.Generator) -> Drawn:
            return augment(case.seen, case.square, changes, rng)

        return of_square
    task = _Picture(settings.planar or PlanarAugmentation(), spec.grey_levels, (size, size, 1))

    def of_picture(case: PreparedCase, rng: np.random.Generator) -> Drawn:
        return take_picture(case.source[..., 0], case.target[..., 0], task, rng)

    return of_picture


def crop(case: PreparedCase, patch: tuple[int, int, int], centred: float, rng: np.random.Generator) -> Drawn:
    """A box of the case: at times about a voxel of a class drawn from those there, else anywhere."""
    shape = np.array(case.target.shape)
    room = shape - np.array(patch)
    start = rng.integers(0, room + 1)
    if case.voxels and rng.random() < centred:
        voxels = case.voxels[int(rng.choice(sorted(case.voxels)))]
        voxel = np.array(np.unravel_index(voxels[rng.integers(voxels.size)], case.target.shape))
        start = np.clip(voxel - np.array(patch) // 2, 0, room)
    box = tuple(slice(int(first), int(first) + n) for first, n in zip(start, patch, strict=True))
    return case.source[(slice(None), *box)], case.target[box].long()


def patch_faults(cases: Sequence[PreparedCase], design: Design) -> Iterator[Fault]:
    """Cases that a patch does not fit into."""
    if design.preparation.planar:
        return
    shown = " × ".join(map(str, design.patch))
    for case in cases:
        shape = tuple(case.target.shape)
        if any(n < wanted for n, wanted in zip(shape, design.patch, strict=True)):
            grid = " × ".join(map(str, shape))
            yield Fault(f"case {case.case_id}", f"{grid} voxels of the model's grid; the patch of {shown} is larger")


def batches(
    design: Design, cases: Sequence[PreparedCase], key: tuple[int, int], first: int, last: int
) -> Iterator[tuple[int, Drawn]]:
    """Batches of the steps from `first` to before `last`; the next is made while the network works on the present one.

    `key` is seed and fold. Cases come in random order, each as often as any other.
    """
    sampler, size = make_sampler(design), design.settings.batch

    def make(step: int) -> Drawn:
        drawn = []
        for number in range(step * size, (step + 1) * size):
            turn, place = divmod(number, len(cases))
            order = np.random.default_rng([*key, _PERMUTATION, turn]).permutation(len(cases))
            drawn.append(sampler(cases[int(order[place])], np.random.default_rng([*key, _PATCH, number])))
        return torch.stack([image for image, _ in drawn]), torch.stack([labels for _, labels in drawn])

    return made_ahead(make, first, last)
