"""What misalignment is left: small blocks of the baseline searched for in the aligned follow-up."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trialscan.registration.scene import INTENSITY_SCALE, Scene

_RADIUS = 4
_SEARCH = 3
_BLOCKS = 150
_FEWEST_BLOCKS = 20
_LEAST_PEAK = 0.6
_PENALTY_PER_VOXEL2 = 0.004
_LEAST_CONTRAST = 0.01 * INTENSITY_SCALE


def residual_lengths(scene: Scene, moved: NDArray[np.float32], region: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Length of the shift that fits each block best, in the scene's unit; None where too few blocks have texture.

    Blocks of nine voxels lie on a regular lattice inside `region` of the fixed grid; the half with most contrast votes.
    Each is sought within three voxels by normalised correlation, the peak refined by a parabola along each axis. A
    longer shift must fit clearly better than a shorter one, for along a vessel all shifts fit alike. This
    estimates error, it does not bound it: a mistake beyond the search range, or where the scans look alike, stays
    unseen.
    """
    fixed = sitk.GetArrayFromImage(scene.fixed).astype(np.float64)
    spacing = np.asarray(scene.fixed.GetSpacing())[::-1]
    shifts = [_best_shift(fixed, moved, center) for center in _centers(fixed, region)]
    found = np.array([shift for shift in shifts if shift is not None])
    if len(found) < _FEWEST_BLOCKS:
        return None
    lengths: NDArray[np.float64] = np.linalg.norm(found * spacing, axis=1)
    return lengths


def _centers(fixed: NDArray[np.float64], region: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The lattice points with most contrast, among those whose search window lies in the grid."""
    reach = _RADIUS + _SEARCH
    if min(fixed.shape) <= 2 * reach:
        return []
    inner = np.zeros_like(region)
    inner[tuple(slice(reach, -reach) for _ in region.shape)] = True
    inside = region & inner
    step = max(1, round((int(inside.sum()) / (2 * _BLOCKS)) ** (1 / fixed.ndim)))
    lattice = np.zeros_like(region)
    lattice[tuple(slice(step // 2, None, step) for _ in region.shape)] = True
    centers = np.argwhere(inside & lattice)
    contrast = np.array([fixed[_block(center, _RADIUS)].std() for center in centers])
    order = np.argsort(-contrast, kind="stable")[: max(1, len(centers) // 2)]
    return [centers[n] for n in np.sort(order) if contrast[n] > _LEAST_CONTRAST]


def _block(center: NDArray[np.int64], radius: int) -> tuple[slice, ...]:
    return tuple(slice(int(c) - radius, int(c) + radius + 1) for c in center)


def _best_shift(
    fixed: NDArray[np.float64], moved: NDArray[np.float32], center: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Shift in voxels to the peak of correlation; None where no place resembles the block."""
    block = fixed[_block(center, _RADIUS)]
    block = (block - block.mean()) / block.std()
    windows = sliding_window_view(moved[_block(center, _RADIUS + _SEARCH)].astype(np.float64), block.shape)
    axes = tuple(range(block.ndim, 2 * block.ndim))
    spread = np.maximum(windows.std(axis=axes), _LEAST_CONTRAST / 10)
    likeness = np.tensordot(windows, block, axes=(axes, tuple(range(block.ndim)))) / (block.size * spread)
    evidence = likeness - _PENALTY_PER_VOXEL2 * _squared_lengths(block.ndim)
    peak = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    if likeness[peak] < _LEAST_PEAK:
        return None
    return np.array([place - _SEARCH + _parabola(evidence, peak, axis) for axis, place in enumerate(peak)])


def _squared_lengths(dimension: int) -> NDArray[np.float64]:
    """Of every shift searched, in voxels squared."""
    steps = np.arange(-_SEARCH, _SEARCH + 1, dtype=np.float64) ** 2
    total = np.zeros((1,) * dimension)
    for axis in range(dimension):
        total = total + steps.reshape([-1 if n == axis else 1 for n in range(dimension)])
    return total


def _parabola(likeness: NDArray[np.float64], peak: tuple[np.intp, ...], axis: int) -> float:
    """Offset of the true peak from the highest sample along one axis; 0 at the edge of the search."""
    if not 0 < peak[axis] < likeness.shape[axis] - 1:
        return 0.0
    before, here, after = (float(likeness[(*peak[:axis], peak[axis] + step, *peak[axis + 1 :])]) for step in (-1, 0, 1))
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
