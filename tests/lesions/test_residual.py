"""The residual alignment error that lesions show, against a displacement that is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree

from tests.lesions.conftest import smooth_field
from trialscan.lesions.placement import Cloud
from trialscan.lesions.residual import nearest_pairs, residual_error

LEAST_MM = 5.0


def cloud(place, size=500.0):
    points = np.asarray(place, float)[None]
    return Cloud(points, np.ones(1), 1.0, size, tuple(points[0].tolist()), KDTree(points))


def scattered(rng, number):
    return rng.uniform(0, 150, (number, 3))


@pytest.mark.parametrize("correlation_mm", [20.0, 40.0, 80.0])
def test_a_smooth_displacement_is_found(correlation_mm):
    rng = np.random.default_rng(3)
    places = scattered(rng, 60)
    true = smooth_field(rng, 5.0, correlation_mm)
    found = residual_error([cloud(p) for p in places], [cloud(p) for p in places + true(places)], LEAST_MM)
    elsewhere = scattered(rng, 200)
    left = np.linalg.norm(found.at(elsewhere) - true(elsewhere), axis=1)
    before = np.linalg.norm(true(elsewhere), axis=1)
    assert np.median(left) < (0.75 if correlation_mm == 20 else 0.45) * np.median(before)
    moved = np.array([found.moved(cloud(p)).points[0] for p in places])
    assert np.median(np.linalg.norm(moved - places - true(places), axis=1)) < 1.0


def test_a_lesion_that_contradicts_its_neighbours_moves_nothing():
    rng = np.random.default_rng(5)
    places = scattered(rng, 40)
    later = places + np.array([3.0, 0.0, 0.0])
    later[0, 1] -= 9.0
    found = residual_error([cloud(p) for p in places], [cloud(p) for p in later], LEAST_MM)
    assert not np.any(np.all(found.anchors == places[0], axis=1))
    assert len(found.anchors) >= 36
    assert found.at(places[:1])[0] == pytest.approx((3.0, 0.0, 0.0), abs=1.5)


def test_random_displacements_leave_as_much_as_they_were():
    rng = np.random.default_rng(6)
    places = scattered(rng, 60)
    later = places + rng.normal(0, 2.0, places.shape)
    found = residual_error([cloud(p) for p in places], [cloud(p) for p in later], LEAST_MM)
    assert found.left_p95 > 4.5  # of a normal 3-vector of SD 2 mm by axis the 95th percentile is 5.6 mm


def test_few_lesions_or_none_show_nothing():
    places = scattered(np.random.default_rng(7), 7)
    seven = [cloud(p) for p in places]
    assert residual_error(seven, seven, LEAST_MM) is None
    assert residual_error([], seven, LEAST_MM) is None
    assert residual_error(seven, [], LEAST_MM) is None


def test_lesions_of_other_sizes_are_no_pair():
    one = cloud((0, 0, 0))
    assert nearest_pairs([one], [replace(one, size=1600.0)], LEAST_MM) == []
    assert nearest_pairs([one], [replace(one, size=1400.0)], LEAST_MM) == [(0, 0, 0.0)]
    assert nearest_pairs([one], [cloud((20.1, 0, 0))], LEAST_MM) == []
