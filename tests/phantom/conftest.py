"""Phantoms that several tests look at, each made once."""

import pytest

from trialscan.phantom import LesionSpec, Phantom, ScannerSpec, simulate_thorax

SPACING = (3.5, 3.5, 3.5)
QUIET = ScannerSpec(noise_hu=0.5, blur_mm=0.4, couch=False)
LESIONS = (
    LesionSpec(3, "ground_glass", (75.0, 40.0, -20.0), 22.0, shape_seed=1),
    LesionSpec(5, "consolidation", (-85.0, 45.0, -35.0), 15.0, shape_seed=2),
    LesionSpec(9, "mixed", (-70.0, 10.0, 40.0), 18.0, shape_seed=3),
)


@pytest.fixture(scope="session")
def healthy() -> list[Phantom]:
    """Healthy adults of four seeds."""
    return [simulate_thorax(seed, SPACING, lesions=()) for seed in (1, 2, 3, 4)]


@pytest.fixture(scope="session")
def diseased() -> Phantom:
    """One adult with three lesions of known kinds, scanned almost without noise."""
    return simulate_thorax(11, SPACING, lesions=LESIONS, scanner=QUIET)
