"""Pneumonia painted on an axial CT slice: patches of any extent, ragged or soft, with texture, where it prefers to be.

The lesions of `trialscan.phantom` are bodies with a smooth margin, right for volumes and their identities. In a single
slice of a hospitalised patient disease is often diffuse: random fields with a preference for the pleura, the back or
one side give such extents, from specks to whole lobes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from trialscan.segmentation.resampling import resample_image
from trialscan.training.augment_volume import smooth
from trialscan.training.config import DiseaseSettings, Span

LUNG, GROUND_GLASS, CONSOLIDATION = 1, 2, 3
_CORE_RAGGED = 0.3


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice in HU (i, j) and its labels: 1 lung, 2 ground glass, 3 consolidation."""

    image: Tensor
    labels: Tensor


def paint_disease(scan: Slice, settings: DiseaseSettings, rng: np.random.Generator) -> Slice:
    """Add disease to the lungs of a slice; what is denser there already, such as a vessel, stays."""
    lung = scan.labels >= LUNG
    if not lung.any() or rng.random() >= settings.share_of_slices:
        return scan
    place = _preference(lung.numpy(), settings, rng)
    extent = float(np.exp(rng.uniform(*np.log(settings.extent))))
    margin = float(np.exp(rng.uniform(*np.log(settings.margin_pixels))))
    lesion = _above(place, lung, extent)
    image = _shade(scan.image, lesion, lung, margin, _glass(scan, lung, settings, rng))
    labels = torch.where(lesion & (scan.labels == LUNG), GROUND_GLASS, scan.labels)
    if rng.random() < settings.consolidated:
        ragged = place + _CORE_RAGGED * _field(place.shape, settings.fine_pixels, rng)
        core = _above(ragged, lesion, float(rng.uniform(*settings.core_share)))
        dense = rng.uniform(*settings.consolidation_hu) + rng.uniform(*settings.core_texture_hu) * _field(
            place.shape, settings.fine_pixels, rng
        )
        image = _shade(image, core, lung, margin, dense)
        labels = torch.where(core, CONSOLIDATION, labels)
    return Slice(image, labels)


def _field(shape: torch.Size, scale_pixels: Span, rng: np.random.Generator) -> Tensor:
    """A random field of mean 0 and standard deviation 1 whose grain is drawn from the span, in pixels."""
    grain = float(np.exp(rng.uniform(*np.log(scale_pixels))))
    coarse = [max(2, round(n / grain)) for n in shape]
    knots = torch.from_numpy(rng.standard_normal(coarse).astype(np.float32))
    field = resample_image(knots[..., None], (*shape, 1))[..., 0]
    return (field - field.mean()) / field.std().clamp(min=1e-6)


def _preference(lung: NDArray[np.bool_], settings: DiseaseSettings, rng: np.random.Generator) -> Tensor:
    """Where disease is likely: random patches of several sizes, near the pleura, towards the back, on one side."""
    shape = torch.Size(lung.shape)
    coarse, middle, fine = rng.dirichlet(settings.patchiness)
    total = coarse * _field(shape, settings.coarse_pixels, rng)
    total = total + middle * _field(shape, settings.middle_pixels, rng)
    total = total + fine * _field(shape, settings.fine_pixels, rng)
    depth = ndimage.distance_transform_edt(lung)
    pleura = np.exp(-depth / rng.uniform(4, 25))
    i, j = (np.linspace(-1, 1, n) for n in lung.shape)
    bias = settings.pleural * rng.uniform(-0.3, 1) * pleura
    bias = bias + settings.dorsal * rng.uniform(-0.3, 1) * j[None, :]
    bias = bias + settings.sided * rng.uniform(-1, 1) * np.sign(i)[:, None]
    place: Tensor = total + torch.from_numpy(bias.astype(np.float32))
    return place


def _above(field: Tensor, within: Tensor, share: float) -> Tensor:
    """The part of `within`, as large as `share` of it, in which the field is highest."""
    if not within.any():
        return within
    return within & (field > torch.quantile(field[within], 1 - share))


def _glass(scan: Slice, lung: Tensor, settings: DiseaseSettings, rng: np.random.Generator) -> Tensor:
    """Density of ground glass (HU): above the lung's own, mottled, at times with a net of thickened septa."""
    own = scan.image[lung].median()
    shape = lung.shape
    density = own + rng.uniform(*settings.glass_above_lung_hu)
    density = density + rng.uniform(*settings.glass_texture_hu) * _field(shape, settings.middle_pixels, rng)
    density = density + rng.uniform(*settings.glass_texture_hu) * _field(shape, settings.fine_pixels, rng)
    if rng.random() < settings.septa:
        net = torch.exp(-(_field(shape, settings.septa_pixels, rng) ** 2) / 0.05)
        density = density + rng.uniform(*settings.septa_hu) * net
    return density.clamp(max=0.0)


def _shade(image: Tensor, lesion: Tensor, lung: Tensor, margin: float, density: Tensor) -> Tensor:
    """Blend a density into the lung over a margin whose middle is the lesion's border."""
    weight = smooth(lesion.float()[..., None], margin)[..., 0] * lung
    return image + weight * (torch.maximum(image, density) - image)
