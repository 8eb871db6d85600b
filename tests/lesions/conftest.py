"""Scenes of known lesions: spheres on any grid, and alignments whose error is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from trialscan.imaging import Units, Volume, affine_from
from trialscan.lesions import Findings, VisitFindings, find_lesions
from trialscan.segmentation import Segmentation
from trialscan.study.sections import LesionSettings

Floats = NDArray[np.float64]
Ball = tuple[tuple[float, float, float], float]


@dataclass(frozen=True)
class KnownAlignment:
    """An alignment by a known displacement (baseline = follow-up point + displacement) and the status it claims."""

    displacement: Callable[[Floats], Floats] = np.zeros_like
    status: str = "pass"
    quality: Mapping[str, float | None] = field(default_factory=dict)

    def to_baseline(self, points: Floats) -> Floats:
        return points + self.displacement(points)

    def to_followup(self, points: Floats) -> Floats:
        return points - self.displacement(points)


@dataclass(frozen=True)
class Scene:
    """A grid to draw balls on; balls are (centre in LPS mm, radius in mm)."""

    shape: tuple[int, int, int] = (60, 60, 60)
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: Floats = field(default_factory=lambda: np.eye(3))
    spacing_known: bool = True

    @property
    def affine(self) -> Floats:
        return affine_from(self.spacing, self.origin, self.direction)

    def ball(self, centre: tuple[float, float, float], radius: float) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
        """The voxels of a ball: a box of the grid, and which voxels of the box are inside."""
        axes, corner = self.affine[:3, :3], self.affine[:3, 3]
        middle = np.linalg.solve(axes, np.asarray(centre) - corner)
        reach = radius * np.sqrt((np.linalg.inv(axes) ** 2).sum(axis=1))
        low = np.clip(np.floor(middle - reach), 0, self.shape).astype(int)
        high = np.clip(np.ceil(middle + reach) + 1, 0, self.shape).astype(int)
        indices = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
        away = indices @ axes.T + corner - centre
        return tuple(map(slice, low, high)), (away**2).sum(axis=-1) <= radius**2

    def mask(self, *balls: Ball, label: int = 1) -> Volume:
        drawn = np.zeros(self.shape, np.uint8)
        for centre, radius in balls:
            box, inside = self.ball(centre, radius)
            drawn[box][inside] = label
        return Volume(drawn, self.affine, Units.LABEL, self.spacing_known)

    def findings(self, *balls: Ball, settings: LesionSettings, organ: bool = True) -> Findings:
        lesions = self.mask(*balls)
        everything = lesions.with_array(np.ones(self.shape, np.uint8))
        image = lesions.with_array(np.full(self.shape, -500.0, np.float32), Units.HU)
        return find_lesions(segmentation(lesions, everything if organ else None), image, settings)

    def visit(self, name: str, day: int, *balls: Ball, settings: LesionSettings, **fields: object) -> VisitFindings:
        """A visit at its place in time; day 0 is the baseline, any other is aligned without error unless told."""
        fields = {"alignment": None if day == 0 else KnownAlignment(), "is_baseline": day == 0} | fields
        return VisitFindings(name, day, self.findings(*balls, settings=settings), **fields)  # type: ignore[arg-type]


def segmentation(lesions: Volume, organ: Volume | None, names: Mapping[int, str] | None = None) -> Segmentation:
    return Segmentation(
        organ=organ,
        lesions=lesions,
        class_names=names or {1: "ground_glass", 2: "consolidation"},
        organ_source="none" if organ is None else "reader",
        lesion_source="reader",
        model=None,
        quality={},
        flags=(),
    )


def smooth_field(rng: np.random.Generator, mean_mm: float, correlation_mm: float = 40.0) -> Callable[[Floats], Floats]:
    """A random displacement, smooth over `correlation_mm`, whose length is `mean_mm` on average."""
    waves = rng.normal(size=(64, 3)) / correlation_mm
    phases = rng.uniform(0, 2 * np.pi, 64)
    amplitudes = rng.normal(size=(64, 3)) * np.sqrt(2 / 64)
    per_axis = mean_mm / (2 * np.sqrt(2 / np.pi))  # the mean length of a normal 3-vector is 2√(2/π) of its SD
    return lambda points: np.cos(points @ waves.T + phases) @ amplitudes * per_axis


@pytest.fixture(scope="session")
def settings() -> LesionSettings:
    return LesionSettings()


@pytest.fixture(scope="session")
def scene() -> type[Scene]:
    return Scene


@pytest.fixture(scope="session")
def known_alignment() -> type[KnownAlignment]:
    return KnownAlignment


@pytest.fixture(scope="session")
def make_segmentation() -> Callable[..., Segmentation]:
    return segmentation


@pytest.fixture(scope="session")
def make_field() -> Callable[..., Callable[[Floats], Floats]]:
    return smooth_field


@pytest.fixture(scope="session")
def oblique() -> Floats:
    """A rotation by 20° about z, then 30° about x."""
    a, b = np.deg2rad([20, 30])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_x @ about_z
