"""The registration engines behind one contract: propose a better candidate for one rung of the ladder."""

from collections.abc import Sequence
from typing import Protocol

from trialscan.registration.ants_engine import AntsEngine
from trialscan.registration.candidate import Candidate
from trialscan.registration.demons import register_demons
from trialscan.registration.linear import register_linear
from trialscan.registration.scene import Scene


class Engine(Protocol):
    """Proposes; the ladder judges. `rungs` are those it has a proposal for."""

    name: str
    rungs: Sequence[str]

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:
        """A candidate for `rung`, starting from `best`; raises RegistrationError when it has none."""


class SimpleItkEngine:
    """Correlation for the linear rungs, demons for the deformable one; planar images too.

    Linear rungs go down to the working grid itself, unless it is large and a deformable rung refines them: then the
    affine one stops at half its resolution and the one before at a quarter.
    """

    name = "simpleitk"

    def __init__(self, rungs: Sequence[str]) -> None:
        self.rungs = rungs
        self._refined = "deformable" in rungs

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:
        """Start from the best candidate so far."""
        if rung == "deformable":
            return register_demons(scene, best)
        if self._refined and scene.is_large:
            return register_linear(scene, rung, best, (4, 2) if rung == "affine" else (4,))
        return register_linear(scene, rung, best, (4, 2, 1))


def engines_for(name: str, scene: Scene, rungs: Sequence[str], device: str) -> tuple[Engine, ...]:
    """The engine asked for, then the one that stands in for it; planar images are SimpleITK's alone."""
    if scene.dimension == 2 or name == "simpleitk":
        return (SimpleItkEngine(rungs),)
    if name == "ants":
        return AntsEngine(tuple(rungs)), SimpleItkEngine(rungs)
    from trialscan.registration.torch_engine import TorchEngine  # noqa: PLC0415 - torch takes seconds to load

    return TorchEngine(device), SimpleItkEngine(rungs)
