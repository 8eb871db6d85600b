"""The registration engines behind one contract: propose a better candidate for one rung of the ladder."""

from collections.abc import Sequence
from typing import Protocol

from trialscan.registration.ants_engine import AntsEngine
from trialscan.registration.candidate import Candidate
from trialscan.registration.demons import register_demons
from trialscan.registration.linear import register_linear
from trialscan.registration.refine import refine, stretched
from trialscan.registration.scene import Scene
from trialscan.study.sections import RegistrationSettings


class Engine(Protocol):
    """Proposes; the ladder judges. `rungs` are those it has a proposal for."""

    name: str
    rungs: Sequence[str]

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:
        """A candidate for `rung`, starting from `best`; raises RegistrationError when it has none."""


class SimpleItkEngine:
    """Correlation for the linear rungs, demons for the deformable one; planar images too.

    Linear rungs go down to the working grid itself, unless it is large and a deformable rung refines them: then the
    affine one stops at half its resolution and the one before at a quarter. Those of MR volumes end on the scans
    themselves, and so does "stretch", an affine map of at most `max_stretch_percent`.
    """

    name = "simpleitk"

    def __init__(self, rungs: Sequence[str], max_stretch_percent: float) -> None:
        self.rungs = rungs
        self._max_stretch_percent = max_stretch_percent
        self._refined = "deformable" in rungs

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:
        """Start from the best candidate so far."""
        if rung == "deformable":
            return register_demons(scene, best)
        if rung == "stretch":
            return stretched(scene, best, self._max_stretch_percent)
        if self._refined and scene.is_large:
            return register_linear(scene, rung, best, (4, 2) if rung == "affine" else (4,))
        found = register_linear(scene, rung, best, (4, 2, 1))
        return refine(scene, found, stretching=rung == "affine") if scene.shaded else found


def engines_for(scene: Scene, rungs: Sequence[str], settings: RegistrationSettings, device: str) -> tuple[Engine, ...]:
    """The engine asked for, then the one that stands in for it; planar images are SimpleITK's alone."""
    simpleitk = SimpleItkEngine(rungs, settings.max_stretch_percent)
    if scene.dimension == 2 or settings.engine == "simpleitk":
        return (simpleitk,)
    if settings.engine == "ants":
        return AntsEngine(tuple(rung for rung in rungs if rung != "stretch")), simpleitk
    from trialscan.registration.torch_engine import TorchEngine  # noqa: PLC0415 - torch takes seconds to load

    return TorchEngine(device), simpleitk
