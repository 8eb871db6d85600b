"""The registration engines behind one contract: propose a better candidate for one rung of the ladder."""

from collections.abc import Sequence
from typing import Protocol

from trialscan.registration.ants_engine import AntsEngine
from trialscan.registration.candidate import Candidate
from trialscan.registration.demons import register_demons
from trialscan.registration.linear import register_linear
from trialscan.registration.scene import Scene


class Engine(Protocol):
    """Proposes; the ladder judges."""

    name: str

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:
        """A candidate for `rung`, starting from `best`; raises RegistrationError when it has none."""


class SimpleItkEngine:
    """Correlation for the linear rungs, demons for the deformable one; planar images too.

    Linear rungs go down to the working grid itself, unless it is large and a deformable rung refines them: then the
    affine one stops at half its resolution and the one before at a quarter.
    """

    name = "simpleitk"

    def __init__(self, rungs: Sequence[str]) -> None:
        self._refined = "deformable" in rungs

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:
        """Start from the best candidate so far."""
        if rung == "deformable":
            return register_demons(scene, best)
        if self._refined and scene.is_large:
            return register_linear(scene, rung, best, (4, 2) if rung == "affine" else (4,))
        return register_linear(scene, rung, best, (4, 2, 1))


def engines_for(name: str, scene: Scene, rungs: Sequence[str]) -> tuple[Engine, ...]:
    """The engine asked for and, after ANTs, the one that stands in; planar images are SimpleITK's alone."""
    if name == "ants" and scene.dimension == 3:
        return AntsEngine(tuple(rungs)), SimpleItkEngine(rungs)
    return (SimpleItkEngine(rungs),)
