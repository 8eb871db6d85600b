from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialscan.imaging import Reorientation, Units, Volume, reorient


def rotated(axes: tuple[int, int, int], flips: tuple[bool, bool, bool], seed: int) -> Volume:
    """Signed permutation of axes, unequal spacing, and a lean of up to some 15 degrees."""
    rng = np.random.default_rng(seed)
    lean, _ = np.linalg.qr(np.eye(3) + rng.uniform(-0.15, 0.15, (3, 3)))
    lean *= np.sign(np.diag(lean))
    affine = np.eye(4)
    affine[:3, :3] = lean @ np.eye(3)[:, list(axes)] * np.where(flips, -1, 1) * rng.uniform(0.5, 3.0, 3)
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    return Volume(rng.integers(0, 1000, (3, 4, 5)), affine, Units.HU, metadata={"modality": "CT"})


AXES = st.sampled_from(list(permutations(range(3))))
FLIPS = st.tuples(st.booleans(), st.booleans(), st.booleans())


@given(axes=AXES, flips=FLIPS, seed=st.integers(0, 10_000))
def test_axes_come_to_lps_and_back(axes: tuple[int, int, int], flips: tuple[bool, bool, bool], seed: int):
    source = rotated(axes, flips, seed)
    turn = Reorientation.to_lps(source)
    turned = turn.apply(source)
    assert (np.diag(turned.direction) > 0.7).all()
    np.testing.assert_array_equal(turn.undo(turned.array), source.array)
    channels = np.stack([turned.array, turned.array + 1])
    np.testing.assert_array_equal(turn.undo(channels)[1], source.array + 1)


@given(axes=AXES, flips=FLIPS, seed=st.integers(0, 10_000))
def test_every_voxel_stays_where_it_was(axes: tuple[int, int, int], flips: tuple[bool, bool, bool], seed: int):
    source = rotated(axes, flips, seed)
    turned = reorient(source)
    indices = np.argwhere(np.ones(turned.shape)).astype(float)
    origin = np.rint(source.to_index(turned.to_world(indices))).astype(int)
    np.testing.assert_allclose(source.to_world(origin.astype(float)), turned.to_world(indices), atol=1e-9)
    np.testing.assert_array_equal(source.array[tuple(origin.T)], turned.array.ravel())


def test_what_is_in_order_stays(awkward: Volume):
    once = reorient(awkward)
    again = reorient(once)
    assert Reorientation.to_lps(once) == Reorientation((0, 1, 2), (False, False, False))
    np.testing.assert_array_equal(again.array, once.array)


def test_result_suits_other_libraries():
    turned = reorient(rotated((2, 0, 1), (True, True, False), 0))
    assert turned.array.flags.c_contiguous
    assert turned.metadata == {"modality": "CT"}


@pytest.mark.parametrize("shape", [(6, 5, 1), (1, 5, 6)])
def test_planar_images_keep_their_plane(shape: tuple[int, ...]):
    source = Volume(np.zeros(shape), np.eye(4), Units.INTENSITY, spacing_known=False)
    assert reorient(source).shape == shape
    assert not reorient(source).spacing_known
