import itertools

import numpy as np
import pytest

from trialscan.lesions.diameters import diameters

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.7, 1.25), (0.8, 0.8, 3.0), (0.7, 0.7, 5.0)]


def ball(radius, spacing, centre=(0.31, 0.17, 0.43)):
    reach = [int(np.ceil(radius / step)) + 1 for step in spacing]
    indices = np.array(list(itertools.product(*[range(-n, n + 1) for n in reach])))
    return indices[np.linalg.norm((indices - centre) * spacing, axis=1) <= radius] + 50


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("diameter", [8.0, 20.0, 40.0])
def test_sphere_to_half_a_voxel(spacing, diameter):
    found = diameters(ball(diameter / 2, spacing), np.diag(spacing))
    assert found.longest_mm == pytest.approx(diameter, abs=max(spacing) / 2)
    assert found.slice_mm <= found.longest_mm + 1e-9
    assert found.slice_mm == pytest.approx(diameter, abs=max(spacing) / 2)
    assert found.slice_perpendicular_mm == pytest.approx(diameter, abs=max(spacing) / 2)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("size", [(12, 5, 4), (3, 3, 9), (20, 1, 1), (1, 8, 6), (1, 1, 7), (2, 2, 1)])
def test_box_is_short_by_up_to_a_voxel(spacing, size):
    voxels = np.array(list(itertools.product(*map(range, size))))
    found = diameters(voxels, np.diag(spacing))
    edges = np.multiply(size, spacing)
    short = np.linalg.norm(edges) - found.longest_mm
    assert 0 <= short <= np.linalg.norm(spacing)
    assert 0 <= np.linalg.norm(edges[:2]) - found.slice_mm <= np.linalg.norm(spacing[:2])


def test_ellipse_in_a_slice_has_its_two_axes():
    i, j = np.meshgrid(np.arange(-40, 41), np.arange(-40, 41), indexing="ij")
    a, angle = np.array([30.0, 12.0]), np.deg2rad(25)
    along = (i * np.cos(angle) + j * np.sin(angle)) / a[0]
    across = (-i * np.sin(angle) + j * np.cos(angle)) / a[1]
    flat = np.argwhere(along**2 + across**2 <= 1)
    found = diameters(np.column_stack([flat, np.zeros(len(flat), int)]), np.diag([0.5, 0.5, 5.0]))
    assert found.longest_mm == pytest.approx(30.0, abs=0.25)
    assert found.slice_mm == pytest.approx(30.0, abs=0.25)
    assert found.slice_perpendicular_mm == pytest.approx(12.0, abs=0.4)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("tilted", [False, True])
def test_an_ellipsoid_has_its_longest_and_its_next_axis_in_space(spacing, tilted, oblique):
    axes = (oblique if tilted else np.eye(3)) @ np.diag(spacing)
    semi = np.array([6.0, 10.0, 16.0])
    reach = [int(np.ceil(17 / step)) for step in spacing]
    indices = np.array(list(itertools.product(*[range(-n, n + 1) for n in reach])))
    along = indices @ axes.T @ oblique  # its axes are turned against the grid, or lie along a turned one
    found = diameters(indices[((along / semi) ** 2).sum(axis=1) <= 1] + 50, axes)
    assert found.longest_mm == pytest.approx(32.0, abs=1.1 * max(spacing))
    assert found.perpendicular_mm == pytest.approx(20.0, abs=1.1 * max(spacing))


@pytest.mark.parametrize(
    "voxels",
    [
        [[4, 4, 4]],
        [[0, 0, 0], [1, 1, 1], [2, 2, 2]],
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]],
        [[i, j, i + j] for i in range(4) for j in range(4)],
    ],
    ids=["voxel", "line", "slice", "tilted plane"],
)
def test_sets_without_a_solid_hull(voxels):
    voxels = np.array(voxels)
    spread = max(np.linalg.norm(a - b) for a in voxels for b in voxels)
    found = diameters(voxels, np.eye(3))
    assert spread < found.longest_mm <= spread + np.sqrt(3) / 2


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_tilted_grid_measures_the_same(spacing, oblique):
    voxels = ball(9.0, spacing)
    straight, tilted = diameters(voxels, np.diag(spacing)), diameters(voxels, oblique * spacing)
    assert tilted.longest_mm == pytest.approx(straight.longest_mm)
    assert tilted.slice_mm == pytest.approx(straight.slice_mm)
    assert tilted.slice_perpendicular_mm == pytest.approx(straight.slice_perpendicular_mm, abs=0.8)


def test_longest_is_the_brute_force_maximum():
    rng = np.random.default_rng(3)
    voxels = np.unique(rng.integers(0, 9, (60, 3)), axis=0)
    axes = np.diag([0.7, 0.9, 2.5])
    pairs = [(a, b) for a, b in itertools.combinations(voxels, 2)]
    lengths = [np.linalg.norm(axes @ (a - b)) * (1 + 0.5 / np.linalg.norm(a - b)) for a, b in pairs]
    spread = [np.linalg.norm(axes @ (a - b)) for a, b in pairs]
    assert diameters(voxels, axes).longest_mm == pytest.approx(lengths[int(np.argmax(spread))])
