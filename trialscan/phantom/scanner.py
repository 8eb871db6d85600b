"""What a scanner makes of the true radiodensity: kernel, slice profile, noise, calibration and field of view."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trialscan.phantom.spec import Grid, ScannerSpec

Field = NDArray[Any]
HIGHEST_HU = 3071.0


def acquire(hu: Field, grid: Grid, scanner: ScannerSpec, rng: np.random.Generator) -> NDArray[np.int16]:
    """The picture (int16 HU) that `scanner` takes of `hu` on `grid`."""
    seen = _kernel(hu, grid, scanner)
    seen += _noise(grid, scanner, rng)
    seen = (seen + 1000) * np.float32(scanner.gain) - 1000 + np.float32(scanner.offset_hu)
    np.clip(seen, scanner.padding_hu, HIGHEST_HU, out=seen)
    if scanner.field_radius_mm is not None:
        x, y, _ = grid.axes()
        outside = x[:, None] ** 2 + (y[None, :] - 10) ** 2 > scanner.field_radius_mm**2
        seen[outside] = scanner.padding_hu
    picture: NDArray[np.int16] = np.rint(seen).astype(np.int16)
    return picture


def _kernel(hu: Field, grid: Grid, scanner: ScannerSpec) -> Field:
    """Blur within the slice, average along z over the slice profile, then sharpen the edges."""
    in_plane = [scanner.blur_mm / s for s in grid.spacing_mm[:2]]
    profile = np.sqrt(max(scanner.slice_thickness_mm**2 - grid.spacing_mm[2] ** 2, 0) / 12) / grid.spacing_mm[2]
    seen: Field = ndimage.gaussian_filter(hu, [*in_plane, profile], truncate=3.0, mode="nearest")
    if scanner.sharpening:
        smooth = ndimage.gaussian_filter(
            seen, [1.5 / s for s in grid.spacing_mm[:2]] + [0], truncate=3.0, mode="nearest"
        )
        seen += np.float32(scanner.sharpening) * (seen - smooth)
    return seen


def _noise(grid: Grid, scanner: ScannerSpec, rng: np.random.Generator) -> Field:
    """Gaussian noise, correlated within the slice, strongest in the middle of the patient."""
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    grain = [scanner.noise_grain_mm / s for s in grid.spacing_mm[:2]]
    noise: Field = ndimage.gaussian_filter(white, [*grain, 0], truncate=3.0, mode="wrap")
    noise /= max(float(noise.std()), 1e-6)
    x, y, _ = grid.axes()
    profile = 0.6 + 0.6 * np.exp(-(x[:, None] ** 2 + y[None, :] ** 2) / 120**2)
    noise *= (np.float32(scanner.noise_hu) * profile)[:, :, None]
    return noise
