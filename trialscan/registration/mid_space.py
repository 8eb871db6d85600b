"""A space half-way between all visits of a patient, so that pictures treat every visit alike.

Drawn on the baseline's grid, the baseline alone is not interpolated and looks sharper than every follow-up (Reuter,
Schmansky, Rosas & Fischl 2012, NeuroImage 61:1402). In a mid-space each visit is resampled exactly once.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from trialscan.errors import RegistrationError
from trialscan.registration.alignment import Alignment, AlignmentStatus
from trialscan.registration.candidate import affine_transform, compose, compose_inverse

_ITERATIONS = 50
_CLOSE_ENOUGH = 1e-12
_MOST_STRETCH = 0.11


def mid_space(alignments: Sequence[Alignment]) -> tuple[Alignment, ...]:
    """Each visit aligned to the mid-space in place of the baseline: the baseline itself first, then as given.

    `alignments` are of the follow-ups to the baseline, all of a volume and rigid, but for what scanners stretch. The
    space is the exponential barycentre of the visits' positions (Pennec & Arsigny 2013): invariant on both sides, so
    neither the order of the visits nor which of them is the baseline moves it, beyond what the alignments themselves
    contradict each other.

    Raises
    ------
    RegistrationError
        An alignment bends, or stretches by more than a protocol may allow for scanners.
    """
    maps = [np.eye(4), *(_matrix(alignment) for alignment in alignments)]
    mean = np.eye(4)
    for _ in range(_ITERATIONS):
        step = _sum([_log(np.linalg.solve(mean, each)) for each in maps]) / len(maps)
        mean = mean @ np.real(linalg.expm(step))
        if np.abs(step).max() < _CLOSE_ENOUGH:
            break
    to_visits = [each @ np.linalg.inv(mean) for each in maps]
    engine = alignments[0].engine if alignments else "none"
    return tuple(_alignment(each, engine) for each in to_visits)


def _alignment(to_visit: NDArray[np.float64], engine: str) -> Alignment:
    affine = affine_transform(to_visit[:3, :3], to_visit[:3, 3])
    transform, inverse = compose(affine, None), compose_inverse(affine, None)
    return Alignment(AlignmentStatus.PASS, "rigid", engine, {}, (), transform, inverse)


def _matrix(alignment: Alignment) -> NDArray[np.float64]:
    """The 4×4 map of one alignment, baseline → follow-up."""
    transform = alignment.transform
    origin = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    for axis in range(3):
        matrix[:3, axis] = np.asarray(transform.TransformPoint(np.eye(3)[axis].tolist())) - origin
    matrix[:3, 3] = origin
    stretch = np.abs(linalg.svdvals(matrix[:3, :3]) - 1).max()
    if transform.GetNumberOfTransforms() > 1 or stretch > _MOST_STRETCH or np.linalg.det(matrix) < 0:
        raise RegistrationError("mid-space", f"an alignment that ends at {alignment.rung}", "rigid alignments")
    return matrix


def _log(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithm: NDArray[np.float64] = np.real(linalg.logm(matrix))
    return logarithm


def _sum(matrices: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Correctly rounded, so that the order of the visits changes no bit."""
    total = np.zeros((4, 4))
    for row, column in np.ndindex(4, 4):
        total[row, column] = math.fsum(float(matrix[row, column]) for matrix in matrices)
    return total
