"""Linear alignment finished on the scans themselves: both interpolated once, at the points of the working grid.

Working grids are interpolations already; fitted there, a map gives away what a head aligned to a tenth of a millimetre
still has to gain. Both scans are interpolated here, so that neither looks sharper than the other.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray
from scipy import linalg, ndimage

from trialscan.errors import RegistrationError
from trialscan.imaging import Units, Volume, clamp, to_sitk
from trialscan.registration.candidate import Candidate
from trialscan.registration.linear import levelled
from trialscan.registration.scene import INTENSITY_SCALE, Scene, robust_window
from trialscan.registration.sides import Side

Points = NDArray[np.float64]

_ITERATIONS = 12
_CLOSE_ENOUGH_MM = 2e-3
_MOST_POINTS = 200_000
_FEWEST_POINTS = 1_000
_LEAST_GAIN_PERCENT = 0.2


@dataclass(frozen=True)
class Sampled:
    """One scan in (k, j, i) order, its slopes along i, j, k, and the map from LPS mm to indices (i, j, k)."""

    values: NDArray[np.float64]
    slopes: tuple[NDArray[np.float64], ...]
    to_index: NDArray[np.float64]
    origin: NDArray[np.float64]

    def indices(self, points: Points) -> NDArray[np.float64]:
        """Continuous indices (i, j, k) of LPS points."""
        return _turned(points - self.origin, self.to_index)

    def at(self, points: Points) -> NDArray[np.float64]:
        """Linear interpolation."""
        return _interpolated(self.values, self.indices(points))

    def slope_at(self, points: Points) -> NDArray[np.float64]:
        """Gradient per mm along L, P, S, (n, 3)."""
        indices = self.indices(points)
        return _turned(np.stack([_interpolated(slope, indices) for slope in self.slopes], axis=1), self.to_index.T)


def refine(scene: Scene, start: Candidate, *, stretching: bool) -> Candidate:
    """`start` improved by Gauss-Newton steps on the correlation of both scans within the fixed organ.

    Turns and shifts only, or with `stretching` all twelve numbers of an affine map. Each step is the least squares
    solution of baseline = gain · follow-up + offset to first order (Baker & Matthews 2004, "forwards compositional"),
    taken only if the correlation rises. Lesions of either scan and points outside the follow-up do not count.

    Raises
    ------
    RegistrationError
        Fewer than a thousand points of the organ lie in both scans.
    """
    return _refined(scene, _samples(scene), start, stretching)[0]


def stretched(scene: Scene, best: Candidate, max_stretch_percent: float) -> Candidate:
    """The affine map near a rigid `best`, for scanners whose millimetres differ.

    Raises
    ------
    RegistrationError
        It would leave almost as much unexplained as turning and shifting alone, or it stretches too far for a scanner.
    """
    samples = _samples(scene)
    rigid, before = _refined(scene, samples, best, stretching=False)
    found, after = _refined(scene, samples, rigid, stretching=True)
    gain = 100 * (1 - (1 - after**2) / (1 - before**2))
    if gain < _LEAST_GAIN_PERCENT:
        raise RegistrationError(
            "stretch", f"{gain:.2f} % less unexplained variance", f"at least {_LEAST_GAIN_PERCENT} % to keep it"
        )
    most = 100 * float(np.abs(linalg.svdvals(found.matrix) - 1).max())
    if most > max_stretch_percent:
        raise RegistrationError("stretch", f"a stretch of {most:.1f} %", f"at most {max_stretch_percent:g} %")
    return found


def _samples(scene: Scene) -> tuple[Sampled, Sampled]:
    first, second = (_sampled(side, level=scene.shaded) for side in (scene.fixed_side, scene.moving_side))
    return first, second


def _sampled(side: Side, *, level: bool) -> Sampled:
    low, high = robust_window(side.values())
    finite = np.nan_to_num(side.volume.array.astype(np.float32), nan=low)
    volume = clamp(Volume(finite, side.volume.affine, Units.INTENSITY), low, high)
    image = to_sitk(volume.with_array((volume.array - low) * np.float32(INTENSITY_SCALE / (high - low))))
    values = sitk.GetArrayFromImage(levelled(image) if level else image).astype(np.float64)
    slopes = [np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values) for axis in (2, 1, 0)]
    affine = side.volume.affine
    return Sampled(values, tuple(slopes), np.linalg.inv(affine[:3, :3]).astype(np.float64), affine[:3, 3])


def _refined(
    scene: Scene, samples: tuple[Sampled, Sampled], start: Candidate, stretching: bool
) -> tuple[Candidate, float]:
    """The best candidate, and its correlation."""
    points = _points(scene)
    here = start
    correlation, step = _step(scene, samples, points, here, stretching)
    for _ in range(_ITERATIONS):
        turn = np.eye(3) + step[:, :3] if stretching else np.real(linalg.expm(step[:, :3]))
        about = _turned(scene.fixed_center[None], here.matrix)[0] + here.offset
        new = Candidate(turn @ here.matrix, turn @ (here.offset - about) + about + step[:, 3])
        reached, following = _step(scene, samples, points, new, stretching)
        if reached <= correlation:
            break
        moved = np.linalg.norm(_mapped(new, points[::97]) - _mapped(here, points[::97]), axis=1).max()
        here, correlation, step = new, reached, following
        if moved < _CLOSE_ENOUGH_MM:
            break
    return here, correlation


def _points(scene: Scene) -> Points:
    """LPS positions of the fixed organ's voxels without lesions, thinned evenly to at most 200,000."""
    inside = scene.region()
    if scene.fixed_lesions is not None:
        inside = inside & (sitk.GetArrayViewFromImage(scene.fixed_lesions) <= 0)
    voxels = np.argwhere(inside)[:, ::-1].astype(np.float64)
    voxels = voxels[:: 1 + len(voxels) // _MOST_POINTS]
    axes = np.reshape(scene.fixed.GetDirection(), (3, 3)) * np.asarray(scene.fixed.GetSpacing())
    points: Points = _turned(voxels, axes) + np.asarray(scene.fixed.GetOrigin())
    return points


def _step(
    scene: Scene, samples: tuple[Sampled, Sampled], points: Points, here: Candidate, stretching: bool
) -> tuple[float, NDArray[np.float64]]:
    """Correlation at `here`, and the (3, 4) step from it: matrix about the mapped organ centre, and shift in mm."""
    places = _mapped(here, points)
    used = _usable(scene, samples[1], places)
    if int(used.sum()) < _FEWEST_POINTS:
        raise RegistrationError("refinement", f"{int(used.sum())} points in both scans", f"at least {_FEWEST_POINTS}")
    baseline, followup = samples[0].at(points[used]), samples[1].at(places[used])
    spread = followup.std()
    first, second = (baseline - baseline.mean()) / baseline.std(), (followup - followup.mean()) / spread
    arms = places[used] - (_turned(scene.fixed_center[None], here.matrix)[0] + here.offset)
    slope = samples[1].slope_at(places[used]) / spread
    turning = (slope[:, :, None] * arms[:, None, :]).reshape(-1, 9) if stretching else np.cross(arms, slope)
    columns = np.concatenate([turning, slope, second[:, None]], axis=1)
    columns = columns - columns.mean(axis=0)
    # einsum, not a matrix product: its sums do not depend on the number of threads
    normal, side = np.einsum("ni,nj->ij", columns, columns), np.einsum("ni,n->i", columns, first - second)
    solution = np.linalg.lstsq(normal, side, rcond=None)[0]
    matrix = solution[:9].reshape(3, 3) if stretching else _cross_matrix(solution[:3])
    return float(np.mean(first * second)), np.concatenate([matrix, solution[-4:-1, None]], axis=1)


def _usable(scene: Scene, followup: Sampled, places: Points) -> NDArray[np.bool_]:
    """Places inside the follow-up and outside its lesions."""
    indices = followup.indices(places)
    last = np.array(followup.values.shape[::-1]) - 1
    inside: NDArray[np.bool_] = np.all((indices >= 0) & (indices <= last), axis=1)
    lesions = scene.moving_side.lesions
    if lesions is not None:
        share = ndimage.map_coordinates(lesions.astype(np.float32), indices.T, order=1, cval=0.0)
        inside = np.logical_and(inside, share <= 0)
    return inside


def _mapped(candidate: Candidate, points: Points) -> Points:
    return _turned(points, candidate.matrix) + candidate.offset


def _turned(points: Points, matrix: NDArray[np.float64]) -> Points:
    turned: Points = np.einsum("ij,nj->ni", matrix, points)
    return turned


def _interpolated(values: NDArray[np.float64], indices: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = ndimage.map_coordinates(values, indices.T[::-1], order=1, mode="nearest")
    return found


def _cross_matrix(w: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])
