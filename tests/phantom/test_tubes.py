import numpy as np
import pytest

from trialscan.phantom.spec import Grid
from trialscan.phantom.tubes import Tubes, coverage, grow_tree


def rod(radius):
    width = np.array([radius])
    return Tubes(np.array([[0.0, 0.0, -20.0]]), np.array([[0.0, 0.0, 20.0]]), width, width)


def test_a_wide_rod_covers_its_volume():
    grid = Grid((41, 41, 71), (1.0, 1.0, 1.0), (-20.0, -20.0, -35.0))
    expected = np.pi * 8.0**2 * 40 + 4 / 3 * np.pi * 8.0**3
    assert coverage(rod(8.0), grid).sum() == pytest.approx(expected, rel=0.02)


def test_a_rod_beside_the_grid_leaves_it_empty():
    assert not coverage(rod(3.0), Grid((5, 5, 5), (1.0, 1.0, 1.0), (50.0, 50.0, 0.0))).any()


def test_a_tree_reaches_every_target_and_thickens_towards_its_root():
    targets = np.random.default_rng(0).uniform(-50, 50, (200, 3)) + np.array([80.0, 0.0, 0.0])
    tree = grow_tree(np.zeros(3), targets, tip_radius=0.5)
    assert len(tree.end) == 200
    assert {tuple(p) for p in tree.end} == {tuple(p) for p in targets}
    at_root = np.all(tree.start == 0, axis=1)
    assert tree.end_radius[at_root].max() > 3 * tree.end_radius.min()
    assert tree.end_radius.min() > 0
