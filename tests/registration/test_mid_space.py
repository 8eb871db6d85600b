"""The mid-space treats every visit alike: no order and no choice of baseline moves it."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trialscan.errors import RegistrationError
from trialscan.registration import Alignment, AlignmentStatus, mid_space
from trialscan.registration.candidate import affine_transform, compose, compose_inverse

POSES = [((0, 0, 0), (0, 0, 0)), ((4, -3, 8), (5, -9, 2)), ((-6, 2, 3), (-4, 1, 12)), ((1, 9, -2), (3, 3, -7))]


def pose(angles_deg: tuple[float, ...], shift_mm: tuple[float, ...]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def aligned(matrix: NDArray[np.float64]) -> Alignment:
    affine = affine_transform(matrix[:3, :3], matrix[:3, 3])
    return Alignment(
        AlignmentStatus.PASS, "rigid", "simpleitk", {}, (), compose(affine, None), compose_inverse(affine, None)
    )


def matrix_of(alignment: Alignment) -> NDArray[np.float64]:
    corner, *ends = alignment.to_followup(np.vstack([np.zeros(3), np.eye(3)]))
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack(ends, axis=1) - corner[:, None]
    matrix[:3, 3] = corner
    return matrix


def to_visits(matrices: list[NDArray[np.float64]], baseline: int) -> list[NDArray[np.float64]]:
    """Mid-space → each visit, from the visits' poses in a common room, aligned to the chosen baseline."""
    order = [baseline, *(n for n in range(len(matrices)) if n != baseline)]
    base = np.linalg.inv(matrices[baseline])
    found = mid_space([aligned(matrices[n] @ base) for n in order[1:]])
    return [matrix_of(found[order.index(n)]) for n in range(len(matrices))]


def test_between_two_visits_it_is_half_way():
    turn = pose((0, 0, 20), (0, 0, 0))
    first, second = (matrix_of(each) for each in mid_space([aligned(turn)]))
    assert np.allclose(second, pose((0, 0, 10), (0, 0, 0)), atol=1e-12)
    assert np.allclose(first, pose((0, 0, -10), (0, 0, 0)), atol=1e-12)


def test_the_order_of_the_visits_changes_no_bit():
    matrices = [pose(*each) for each in POSES]
    first = mid_space([aligned(each) for each in matrices[1:]])
    for order in permutations(range(1, 4)):
        again = mid_space([aligned(matrices[n]) for n in order])
        assert np.array_equal(matrix_of(again[0]), matrix_of(first[0]))
        for place, n in enumerate(order, start=1):
            assert np.array_equal(matrix_of(again[place]), matrix_of(first[n]))


def test_the_choice_of_the_baseline_does_not_move_it():
    matrices = [pose(*each) for each in POSES]
    first = to_visits(matrices, 0)
    for baseline in range(1, 4):
        assert np.allclose(to_visits(matrices, baseline), first, atol=1e-9)


def test_it_keeps_the_alignment_and_stays_rigid():
    matrices = [pose(*each) for each in POSES]
    found = to_visits(matrices, 0)
    for matrix, to_visit in zip(matrices, found, strict=True):
        assert np.allclose(to_visit @ np.linalg.inv(found[0]), matrix, atol=1e-10)
        assert np.allclose(to_visit[:3, :3] @ to_visit[:3, :3].T, np.eye(3), atol=1e-10)


@pytest.mark.parametrize("stretch", [1.2, -1.0])
def test_an_affine_alignment_is_refused(stretch):
    with pytest.raises(RegistrationError, match="rigid alignments"):
        mid_space([aligned(np.diag([stretch, 1.0, 1.0, 1.0]))])


def test_what_a_scanner_stretches_is_halved_too():
    first, second = (matrix_of(each) for each in mid_space([aligned(np.diag([1.0201, 1.0, 1.0, 1.0]))]))
    assert np.allclose(first, np.diag([1 / 1.01, 1.0, 1.0, 1.0]), atol=1e-12)
    assert np.allclose(second, np.diag([1.01, 1.0, 1.0, 1.0]), atol=1e-12)
