"""Cases as a network learns them: images on the model's grid, the class of every voxel, and the scan's own mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trialscan.errors import Fault, GeometryError, TrialscanError
from trialscan.imaging import Reorientation, Units, Volume, fill_nonfinite, read_mask, read_volume, resample
from trialscan.segmentation.preparation import planar_shape, prepare_planar, prepare_volume, square_window
from trialscan.segmentation.resampling import resample_image, target_shape
from trialscan.segmentation.specification import ModelSpecification
from trialscan.training.augment_volume import majority_labels
from trialscan.training.datasets import AnnotatedCase
from trialscan.training.experiments.classes import Classes
from trialscan.training.experiments.sections import ChannelSettings

_CPU = torch.device("cpu")
_FINER = 1.5  # pictures are turned and zoomed from this many times the network's pixels, then seen at its own


@dataclass(frozen=True)
class Preparation:
    """What is done to every case alike. `spec` is the model's; `channels` says what each image holds."""

    spec: ModelSpecification
    channels: tuple[ChannelSettings, ...]
    classes: Classes

    @property
    def planar(self) -> bool:
        """Whether cases are single images."""
        return self.spec.kind == "planar"


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case, ready.

    seen : what the network is shown of the untouched case (channels, i, j[, k]) in -1 … 1.
    source, target : what random versions are drawn from and its classes: `seen` itself with (i, j, k) uint8, and of a
        picture its grey levels 0 … 1 (i, j, 1) at a finer grid.
    reference : the classes on the scan's own grid.
    """

    case_id: str
    seen: Tensor
    source: Tensor
    target: Tensor
    reference: Volume

    @cached_property
    def square(self) -> Tensor:
        """The classes (size, size) of the square picture that is seen, as int64."""
        size = self.seen.shape[-1]
        square = torch.zeros((size, size), dtype=torch.int64)
        shape = planar_shape(self.reference.shape, size)
        count = int(self.target.max()) + 1
        square[square_window(shape, size)] = majority_labels(self.target, shape, count)[..., 0]
        return square

    @cached_property
    def voxels(self) -> dict[int, NDArray[np.int64]]:
        """Flat indices into `target` of each class but the background that is there."""
        flat = self.target.numpy().ravel()
        return {int(label): np.flatnonzero(flat == label) for label in np.unique(flat) if label}


def prepare_case(
    case: AnnotatedCase, paths: Mapping[str, Path], preparation: Preparation
) -> PreparedCase | tuple[Fault, ...]:
    """A case of the snapshot, `paths` being where its files lie; or everything that is wrong with it."""
    where = f"case {case.case_id}"
    if len(case.images) != len(preparation.channels):
        found = f"{len(case.images)} images; expected {len(preparation.channels)}, one a channel of the preparation"
        return (Fault(where, found),)
    try:
        images = [
            read_volume(paths[path], Units(channel.units))
            for path, channel in zip(case.images, preparation.channels, strict=True)
        ]
    except TrialscanError as error:
        return (Fault(where, str(error)),)
    labels, faults = merged_masks(case, paths, images[0])
    if images[0].is_planar != preparation.planar:
        wanted = "a single image" if preparation.planar else "several slices"
        faults.append(Fault(where, f"an image of shape {images[0].shape}; expected {wanted}"))
    if faults:
        return tuple(faults)
    reference = images[0].with_array(preparation.classes.learnt(labels), Units.LABEL)
    try:
        return (_picture if preparation.planar else _volume)(case.case_id, images, reference, preparation)
    except TrialscanError as error:
        return (Fault(where, str(error)),)


def merged_masks(
    case: AnnotatedCase, paths: Mapping[str, Path], image: Volume
) -> tuple[NDArray[np.int64], list[Fault]]:
    """The snapshot's labels on the image's grid, later masks over earlier ones, and what is wrong with the masks."""
    merged = np.zeros(image.shape, dtype=np.int64)
    faults: list[Fault] = []
    for mask in case.masks:
        where = f"case {case.case_id}: {mask.path}"
        try:
            found = read_mask(paths[mask.path], image)
        except GeometryError as error:
            faults.append(Fault(where, f"mask on another grid: {error.found}; expected {error.expected}"))
            continue
        except TrialscanError as error:
            faults.append(Fault(where, str(error)))
            continue
        meaning = {0: 0, **mask.values}
        unknown = sorted(set(np.unique(found.array).tolist()) - set(meaning))
        if unknown:
            told = f"label outside the map: {', '.join(map(str, unknown))}; expected {', '.join(map(str, meaning))}"
            faults.append(Fault(where, told))
            continue
        table = np.zeros(max(meaning) + 1, dtype=np.int64)
        table[list(meaning)] = list(meaning.values())
        painted = table[found.array]
        merged = np.where(painted > 0, painted, merged)
    return merged, faults


def _picture(case_id: str, images: Sequence[Volume], reference: Volume, preparation: Preparation) -> PreparedCase:
    spec, image = preparation.spec, images[0]
    seen = prepare_planar(image, spec, _CPU)[0]
    values = fill_nonfinite(np.array(image.array, dtype=np.float32, order="C"))
    if spec.intensity_range is not None and image.units is Units.HU:
        values = values.clip(*spec.intensity_range)
    low, high = float(values.min()), float(values.max())
    grey = torch.from_numpy((values - low) / max(high - low, 1e-12))
    size = min(max(image.shape), round(_FINER * (spec.planar_size or 1)))
    shape = planar_shape(image.shape, size)
    labels = torch.from_numpy(reference.array)
    target = majority_labels(labels, shape, len(preparation.classes.names)).to(torch.uint8)
    return PreparedCase(case_id, seen, resample_image(grey, shape).contiguous(), target, reference)


def _volume(case_id: str, images: Sequence[Volume], reference: Volume, preparation: Preparation) -> PreparedCase:
    turn, spec = Reorientation.to_lps(images[0]), preparation.spec
    aligned = [images[0], *(_onto(image, images[0]) for image in images[1:])]
    seen = torch.cat(
        [
            prepare_volume(
                turn.apply(image), spec.model_copy(update={"intensity_range": channel.intensity_range}), _CPU
            )
            for image, channel in zip(aligned, preparation.channels, strict=True)
        ]
    )[:, 0]
    turned = turn.apply(reference)
    shape = target_shape(turned.shape, turned.spacing_mm, spec.spacing_mm or turned.spacing_mm)
    labels = torch.from_numpy(np.ascontiguousarray(turned.array))
    target = majority_labels(labels, shape, len(preparation.classes.names)).to(torch.uint8)
    return PreparedCase(case_id, seen, seen, target, reference)


def _onto(image: Volume, first: Volume) -> Volume:
    return image if image.same_grid(first) else resample(image, like=first)
