"""Volumes on awkward grids."""

import numpy as np
import pytest

from trialscan.imaging import Units, Volume, affine_from


def rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """Rodrigues' rotation matrix."""
    unit = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -unit[2], unit[1]], [unit[2], 0, -unit[0]], [-unit[1], unit[0], 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


GRIDS = {
    "upright": affine_from((0.7, 0.8, 2.5), (-120.5, 33.25, -410.0)),
    "flipped": affine_from((0.7, 0.8, 2.5), (120.5, 33.25, -410.0), np.diag([-1.0, -1.0, 1.0])),
    "mirrored": affine_from((1.0, 1.5, 3.0), (5.0, 6.0, 7.0), np.diag([1.0, 1.0, -1.0])),
    "permuted": affine_from((1.1, 0.9, 2.0), (1.0, -2.0, 3.0), np.eye(3)[:, [2, 0, 1]]),
    "oblique": affine_from((0.7, 0.8, 2.5), (12.0, -34.0, 56.0), rotation((1.0, 2.0, 3.0), 25.0)),
}


@pytest.fixture(params=sorted(GRIDS))
def awkward(request: pytest.FixtureRequest) -> Volume:
    """An int16 volume with all voxels different, on one of several grids."""
    array = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7) - 100
    return Volume(array, GRIDS[request.param], Units.HU)
