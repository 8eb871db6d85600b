"""How well the volume of a ball repeats on MR and PET, by size and slice thickness: a simulation of the scanner alone.

    python tests/benchmarks/repeated_balls.py [--pairs 400]

A ball is scanned twice, each time elsewhere between the voxels and with other noise, and outlined where the picture
passes half-way between the surroundings and its middle. MR: voxels of 1 × 1 mm, slices of 1.5, 3 and 5 mm, in-plane
blur of 1.2 mm, ten times as much contrast as noise. PET: voxels of 4 mm, blur of 6.5 mm, six times the uptake of the
surroundings, noise of 10 % as grainy as the blur. What readers and patients add comes from published figures
(docs/lesions.md): on MR an outline that is 0.1 mm off as a whole and 4 % of volume, across scanners 0.2 mm or 18.5 %,
whichever is more; on PET the SD behind limits of -21 to +31 %. The root of the summed squares is what is printed and
stands in `trialscan/study/repeatability_tables.py`.
"""

import argparse
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
FWHM_PER_SIGMA = 2.3548200450309493
SEED = 20261126
READER_MM, READER_SHARE = 0.1, 0.04
ACROSS_MM, ACROSS_SHARE = 0.2, 0.185
PET_SD = float(np.log([1.31, 1 / 0.79]).mean() / (1.96 * np.sqrt(2)))
SUBSAMPLES = 5


@dataclass(frozen=True)
class Scanner:
    """Voxel and blur (full width at half maximum) in mm along i, j, k; noise as a share of the contrast.

    `grain_mm` : correlation of the noise, full width; `background` : uptake around the ball, of which it has 1.
    """

    voxel_mm: tuple[float, float, float]
    blur_mm: tuple[float, float, float]
    noise: float
    grain_mm: float
    background: float


def mr(slice_mm: float) -> Scanner:
    """A FLAIR or contrast-enhanced sequence; across slices the slice itself is the blur."""
    return Scanner((1.0, 1.0, slice_mm), (1.2, 1.2, 0.0), 0.1, 0.0, 0.0)


PET = Scanner((4.0, 4.0, 4.0), (6.5, 6.5, 6.5), 0.1, 6.5, 1 / 6)


def repeated(scanner: Scanner, volume_ml: float, pairs: int, rng: np.random.Generator) -> Floats:
    """(n, 2) volumes in ml of balls that both scans show; n is at most `pairs`."""
    found = [[scan(scanner, volume_ml, rng) for _ in range(2)] for _ in range(pairs)]
    return np.array([pair for pair in found if min(pair) > 0]).reshape(-1, 2)


def scan(scanner: Scanner, volume_ml: float, rng: np.random.Generator) -> float:
    """Volume in ml that the outline of one scan encloses, 0 where it shows nothing."""
    voxel = np.asarray(scanner.voxel_mm)
    radius = (3 * 1000 * volume_ml / (4 * np.pi)) ** (1 / 3)
    half = np.ceil((radius + 2.5 * max(scanner.blur_mm) + voxel) / voxel).astype(int)
    offset = rng.uniform(-0.5, 0.5, 3) * voxel
    share = _share(half, voxel, offset, radius)
    sigma = np.asarray(scanner.blur_mm) / FWHM_PER_SIGMA / voxel
    picture = ndimage.gaussian_filter(share, sigma) * (1 - scanner.background) + scanner.background
    grain = rng.standard_normal(share.shape)
    if scanner.grain_mm:
        grain = ndimage.gaussian_filter(grain, scanner.grain_mm / FWHM_PER_SIGMA / voxel)
        grain /= grain.std()
    # Counting noise follows the counts; a receiver's does not.
    picture = picture * (1 + scanner.noise * grain) if scanner.grain_mm else picture + scanner.noise * grain
    middle = tuple(half)
    peak = float(picture[tuple(slice(c - 1, c + 2) for c in middle)].max())
    parts, _ = ndimage.label(picture > (min(peak, 1.0) + scanner.background) / 2)
    inside = parts == parts[middle] if parts[middle] else np.zeros(parts.shape, bool)
    return float(inside.sum() * voxel.prod() / 1000)


def _share(half: NDArray[np.int64], voxel: Floats, offset: Floats, radius: float) -> Floats:
    """Share of each voxel that the ball fills."""
    step = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    axes = [
        ((np.arange(-n, n + 1)[:, None] + step) * size - shift).ravel()
        for n, size, shift in zip(half, voxel, offset, strict=True)
    ]
    square = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2
    blocks = [side for n in half for side in (2 * n + 1, SUBSAMPLES)]
    share: Floats = (square < radius**2).reshape(blocks).mean(axis=(1, 3, 5))
    return share


def simulated(scanner: Scanner, start_ml: float, end_ml: float, pairs: int) -> float:
    """SD of the natural log over a class, sizes spread evenly on the log scale within it."""
    rng = np.random.default_rng([SEED, round(1000 * start_ml)])
    sizes = np.exp(np.linspace(np.log(start_ml), np.log(end_ml), 8, endpoint=False))
    gaps = [np.diff(np.log(repeated(scanner, size, pairs // len(sizes), rng)), axis=1) for size in sizes]
    return float(np.sqrt((np.concatenate(gaps) ** 2).mean() / 2))


def shifted_outline(shift_mm: float, start_ml: float, end_ml: float) -> float:
    """Relative error of a ball's volume whose surface is `shift_mm` off, 3 shift / radius, in the middle of a class."""
    radius_mm = (3 * 1000 * np.sqrt(start_ml * end_ml) / (4 * np.pi)) ** (1 / 3)
    return float(3 * shift_mm / radius_mm)


def main() -> None:
    """Print both tables: from ml, SD within and across scanners."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=160, help="balls of each class")
    pairs = parser.parse_args().pairs
    for slice_mm in (1.5, 3.0, 5.0):
        for start, end in pairwise((0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)):
            scan_sd = simulated(mr(slice_mm), start, end, pairs)
            within = np.hypot(scan_sd, np.hypot(shifted_outline(READER_MM, start, end), READER_SHARE))
            across = np.hypot(scan_sd, max(shifted_outline(ACROSS_MM, start, end), ACROSS_SHARE))
            print(f"MR, slices of {slice_mm:g} mm, from {start:g} ml: {within:.3f}, {across:.3f} ({scan_sd:.3f})")  # noqa: T201
    for start, end in pairwise((0.3, 1.0, 3.0, 10.0, 30.0)):
        scan_sd = simulated(PET, start, end, pairs)
        print(f"PET, from {start:g} ml: {np.hypot(scan_sd, PET_SD):.3f} ({scan_sd:.3f})")  # noqa: T201


if __name__ == "__main__":
    main()
