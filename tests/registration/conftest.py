"""A bean full of blobs in a body, drawn in closed form through any map, so that truth is exact."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from trialscan.imaging import Units, Volume, affine_from
from trialscan.registration import Alignment, register
from trialscan.study.sections import RegistrationSettings

Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]
RADII = np.array([52.0, 42.0, 60.0])
SHAPE = (42, 38, 46)
SPACING = (4.0, 4.0, 4.0)
ORIGIN = (-82.0, -74.0, -90.0)


@dataclass(frozen=True)
class Pair:
    """Baseline and follow-up with masks; `truth` maps baseline LPS points to the follow-up."""

    fixed: Volume
    moving: Volume
    fixed_mask: Volume
    moving_mask: Volume
    truth: Map

    @property
    def points(self) -> NDArray[np.float64]:
        """LPS positions of every seventh organ voxel."""
        return self.fixed.to_world(np.argwhere(self.fixed_mask.array > 0)[::7].astype(np.float64))

    def error(self, mapped: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of mapped `points` from where they belong, mm."""
        return np.linalg.norm(mapped - self.truth(self.points), axis=1)


def unchanged(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points


def draw(
    to_reference: Map = unchanged,
    *,
    seed: int = 5,
    affine: NDArray[np.float64] | None = None,
    shape: tuple[int, int, int] = SHAPE,
) -> tuple[Volume, Volume]:
    """Scan (HU) and organ mask of the object, seen through the map scan → reference."""
    affine = affine_from(SPACING, ORIGIN) if affine is None else affine
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    points = to_reference(indices @ affine[:3, :3].T + affine[:3, 3])
    x, y, z = points.T
    radius = np.linalg.norm(np.stack([x - 14 * (z / 60) ** 2, y - 12 * np.sin(x / 35), z], axis=1) / RADII, axis=1)
    rng = np.random.default_rng(seed)
    texture = np.zeros(len(points))
    for center, width, height in zip(
        rng.uniform(-1, 1, (150, 3)) * RADII, rng.uniform(4, 6, 150), rng.normal(0, 160, 150), strict=True
    ):
        texture += height * np.exp(-((points - center) ** 2).sum(axis=1) / (2 * width**2))
    values = np.where(radius < 1, np.clip(-750 + texture, -1000, -250), np.where(radius < 1.35, 40.0, -1000.0))
    organ = (radius < 1).astype(np.uint8)
    return (
        Volume(values.reshape(shape).astype(np.int16), affine, Units.HU),
        Volume(organ.reshape(shape), affine, Units.LABEL),
    )


def turned(degrees: float, scale: tuple[float, float, float], shift: tuple[float, float, float]) -> tuple[Map, Map]:
    """A rotation about z after a scaling, then a shift; forward and back."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix = turn * np.asarray(scale)

    def forward(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points @ matrix.T + np.asarray(shift)

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points - np.asarray(shift)) @ np.linalg.inv(matrix).T

    return forward, back


def bent(amplitude: float) -> tuple[Map, Map]:
    """A smooth deformation known backwards in closed form, forwards by iteration to 1e-9 mm."""

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y, z = points.T
        return points + amplitude * np.stack([np.sin(y / 14), np.cos(z / 18), np.sin(x / 16)], axis=1)

    def forward(points: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = points.copy()
        for _ in range(60):
            moved += points - back(moved)
        return moved

    return forward, back


def make_pair(maps: tuple[Map, Map], *, seed: int = 5, affine: NDArray[np.float64] | None = None) -> Pair:
    forward, back = maps
    fixed, fixed_mask = draw()
    moving, moving_mask = draw(back, seed=seed, affine=affine)
    return Pair(fixed, moving, fixed_mask, moving_mask, forward)


@pytest.fixture(scope="session")
def rigid_pair() -> Pair:
    return make_pair(turned(9.0, (1.0, 1.0, 1.0), (12.0, -7.0, 9.0)))


@pytest.fixture(scope="session")
def affine_pair() -> Pair:
    return make_pair(turned(-6.0, (1.08, 0.94, 1.1), (-8.0, 5.0, 6.0)))


@pytest.fixture(scope="session")
def bent_pair() -> Pair:
    return make_pair(bent(4.0))


@pytest.fixture(scope="session")
def bent_alignment(bent_pair: Pair) -> Alignment:
    return register(
        bent_pair.fixed,
        bent_pair.moving,
        fixed_mask=bent_pair.fixed_mask,
        moving_mask=bent_pair.moving_mask,
        settings=RegistrationSettings(spacing_mm=4.0),
    )


@pytest.fixture(scope="session")
def stranger_pair() -> Pair:
    return make_pair(turned(4.0, (1.0, 1.0, 1.0), (5.0, 5.0, 0.0)), seed=77)


@pytest.fixture(scope="session")
def planar_pair() -> Pair:
    """Two pictures without millimetres; the follow-up has 1.6 times as many pixels, is turned and shifted."""
    fixed, fixed_mask = _picture(unchanged, (130, 150))
    forward, back = turned(5.0, (1.6, 1.6, 1.0), (30.0, 18.0, 0.0))
    moving, moving_mask = _picture(back, (250, 270))
    return Pair(fixed, moving, fixed_mask, moving_mask, forward)


def _picture(to_reference: Map, shape: tuple[int, int]) -> tuple[Volume, Volume]:
    indices = np.stack(np.meshgrid(*map(np.arange, (*shape, 1)), indexing="ij"), axis=-1).reshape(-1, 3)
    points = to_reference(indices.astype(np.float64))[:, :2]
    rng = np.random.default_rng(3)
    texture = np.zeros(len(points))
    for center, width in zip(rng.uniform(20, 120, (60, 2)), rng.uniform(3, 8, 60), strict=True):
        texture += 40 * np.exp(-((points - center) ** 2).sum(axis=1) / (2 * width**2))
    lobes = [
        ((points - c) ** 2 / np.square(r)).sum(axis=1) < 1 for c, r in (((40, 75), (20, 45)), ((90, 68), (24, 50)))
    ]
    organ = lobes[0] | lobes[1]
    values = np.where(organ, 60 + texture, 180.0)
    return (
        Volume(values.reshape(*shape, 1).astype(np.uint8), np.eye(4), Units.INTENSITY, spacing_known=False),
        Volume(organ.reshape(*shape, 1).astype(np.uint8), np.eye(4), Units.LABEL, spacing_known=False),
    )
