"""What is left of the alignment error between two visits, as lesions that are surely the same show it.

Such an error is smooth: neighbours are displaced alike. A Gaussian process through the displacements of lesions that
are each other's nearest predicts it everywhere, and how well it predicts each of them from the others says what
remains (Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.25 and 5.12).
Lengths are in baseline units, and go by the patient's least tolerance, so that they also hold without millimetres.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from trialscan.lesions.placement import Cloud

Floats = NDArray[np.float64]

FEWEST_PAIRS = 8
SIZE_FACTOR = 3.0
REACH_FACTOR = 4.0
LENGTH_FACTOR = 6.0
NOISE_FACTOR = 0.2
OUTLYING = 3.0
ROUNDS = 2
P95_OF_MEDIAN = 1.817  # of the length of a normal 3-vector


@dataclass(frozen=True, eq=False)
class Residual:
    """A displacement from the places of lesions at an earlier visit to those at a later one.

    anchors : (n, 3) earlier places of the lesions it rests on. weights : (n, 3), of their kernels. length : of these.
    left_p95 : the 95th percentile of what it leaves.
    """

    anchors: Floats
    weights: Floats
    length: float
    left_p95: float

    def at(self, points: Floats) -> Floats:
        """The displacement (m, 3) of earlier places (m, 3)."""
        displacement: Floats = _correlation(points, self.anchors, self.length) @ self.weights
        return displacement

    def moved(self, cloud: Cloud) -> Cloud:
        """The earlier lesion where the later visit should show it."""
        points = cloud.points + self.at(cloud.points)
        return replace(cloud, points=points, tree=KDTree(points))


def nearest_pairs(
    earlier: Sequence[Cloud], later: Sequence[Cloud], least: float, expected: Floats | None = None
) -> list[tuple[int, int, float]]:
    """Lesions that are each other's nearest, as places in both sequences, and their distance.

    Only of sizes within a factor of three, and no farther apart than four times `least`, the least tolerance.
    `expected` : (len(earlier), 3) where the earlier lesions should be found; their own centroids when None.
    """
    if not earlier or not later:
        return []
    start = np.array([cloud.centroid for cloud in earlier]) if expected is None else expected
    gaps = cdist(start, [cloud.centroid for cloud in later])
    ratio = np.log([cloud.size for cloud in earlier])[:, None] - np.log([cloud.size for cloud in later])
    gaps[np.abs(ratio) > math.log(SIZE_FACTOR)] = np.inf
    there, back = gaps.argmin(axis=1), gaps.argmin(axis=0)
    near = gaps[np.arange(len(there)), there] <= REACH_FACTOR * least
    return [
        (first, int(second), float(gaps[first, second]))
        for first, second in enumerate(there)
        if near[first] and back[second] == first
    ]


def residual_error(earlier: Sequence[Cloud], later: Sequence[Cloud], least: float) -> Residual | None:
    """Fit the displacement to lesions that are each other's nearest; None from fewer than eight.

    Those that the others contradict are left out. What is found is applied, and the nearest are looked for again.
    """
    found, places = None, np.array([cloud.centroid for cloud in earlier]).reshape(-1, 3)
    for _ in range(ROUNDS):
        expected = places + found.at(places) if found else places
        pairs = nearest_pairs(earlier, later, least, expected)
        if len(pairs) < FEWEST_PAIRS:
            return None
        anchors = places[[first for first, _, _ in pairs]]
        found = _fitted(anchors, np.array([later[second].centroid for _, second, _ in pairs]) - anchors, least)
    return found


def _fitted(anchors: Floats, steps: Floats, least: float) -> Residual:
    """The process through the steps of the anchors, less those that it predicts worst from the others."""
    surprise = np.linalg.norm(_weights(anchors, steps, least)[1], axis=1)
    kept = surprise <= OUTLYING * np.median(surprise)
    weights, left = _weights(anchors[kept], steps[kept], least)
    left_p95 = P95_OF_MEDIAN * float(np.median(np.linalg.norm(left, axis=1)))
    return Residual(anchors[kept], weights, LENGTH_FACTOR * least, left_p95)


def _weights(anchors: Floats, steps: Floats, least: float) -> tuple[Floats, Floats]:
    """Weights of the anchors, and what each one's step differs by from its prediction by the others."""
    noise = (NOISE_FACTOR * least) ** 2
    signal = max(float((steps**2).mean()), noise)
    covariance = _correlation(anchors, anchors, LENGTH_FACTOR * least) + noise / signal * np.eye(len(anchors))
    inverse = np.linalg.inv(covariance)
    weights = inverse @ steps
    return weights, weights / np.diag(inverse)[:, None]


def _correlation(one: Floats, other: Floats, length: float) -> Floats:
    """Matérn's of order 3/2."""
    scaled = math.sqrt(3.0) * cdist(one, other) / length
    correlation: Floats = (1.0 + scaled) * np.exp(-scaled)
    return correlation
