"""The ladder: from a mere shift to a deformation, each rung kept only if the alignment does not get worse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trialscan.errors import RegistrationError
from trialscan.registration.alignment import Rung
from trialscan.registration.candidate import Candidate
from trialscan.registration.engines import Engine
from trialscan.registration.quality import Scores, score
from trialscan.registration.scene import Scene
from trialscan.study.sections import RegistrationSettings

DICE_TOLERANCE = 0.01
CORRELATION_TOLERANCE = 0.02
SCALE_RANGE = (0.2, 5.0)
START = "start"


@dataclass(frozen=True)
class Climb:
    """Where the ladder ended: the best candidate, its scores and those before any registration, every attempt."""

    best: Candidate
    scores: Scores
    before: Scores
    rung: str
    engine: str
    rungs: tuple[Rung, ...]


@dataclass(frozen=True)
class Attempt:
    """A step about to be taken, and the folding it may not exceed."""

    rung: str
    engine: str
    scene: Scene
    max_folding_percent: float


def rungs_for(settings: RegistrationSettings, scene: Scene) -> tuple[str, ...]:
    """The rungs after the start; scans without millimetres may differ in scale, planar ones stop at affine."""
    method = settings.method
    linear = "similarity" if scene.scale_free else "rigid"
    wanted = {"rigid": (linear,), "affine": (linear, "affine"), "deformable": (linear, "affine", "deformable")}[method]
    if method == "rigid" and settings.max_stretch_percent > 0 and not scene.scale_free and scene.dimension == 3:
        wanted = (linear, "stretch")
    return tuple(rung for rung in wanted if rung != "deformable" or scene.dimension == 3)


def climb(scene: Scene, rungs: Sequence[str], engines: Sequence[Engine], max_folding_percent: float) -> Climb:
    """Try every rung; an engine's failed or rejected rung goes to the next engine."""
    before = score(scene, identity(scene))
    bottom = Climb(identity(scene), before, before, "none", "none", ())
    here = _judged(bottom, _centred(scene), Attempt(START, "none", scene, max_folding_percent))
    for rung in rungs:
        for engine in (engine for engine in engines if rung in engine.rungs):
            here = _tried(here, engine, Attempt(rung, engine.name, scene, max_folding_percent))
            if here.rungs[-1].kept:
                break
    return here


def identity(scene: Scene) -> Candidate:
    """Leave every point where it is."""
    return Candidate(np.eye(scene.dimension), np.zeros(scene.dimension))


def _centred(scene: Scene) -> Candidate:
    """Bring the moving organ's centroid, and its size where millimetres are unknown, to the fixed one's."""
    matrix = np.eye(scene.dimension) * scene.size_ratio
    return Candidate(matrix, scene.moving_center - matrix @ scene.fixed_center)


def _tried(here: Climb, engine: Engine, attempt: Attempt) -> Climb:
    try:
        candidate = engine.propose(attempt.scene, attempt.rung, here.best)
    except RegistrationError as error:
        return _after(here, Rung(attempt.rung, attempt.engine, False, {}, str(error)))
    return _judged(here, candidate, attempt)


def _judged(here: Climb, candidate: Candidate, attempt: Attempt) -> Climb:
    scores = score(attempt.scene, candidate)
    reason = _strange(candidate, attempt.scene) or _worse(scores, here.scores, attempt.max_folding_percent)
    record = Rung(attempt.rung, attempt.engine, not reason, scores.record(), reason)
    if reason:
        return _after(here, record)
    return Climb(candidate, scores, here.before, attempt.rung, attempt.engine, (*here.rungs, record))


def _after(here: Climb, record: Rung) -> Climb:
    return replace(here, rungs=(*here.rungs, record))


def _strange(candidate: Candidate, scene: Scene) -> str:
    """Why this cannot be the same patient's organ; empty when it can."""
    scale = float(np.linalg.det(candidate.matrix)) / scene.size_ratio**scene.dimension
    low, high = SCALE_RANGE
    return "" if low <= scale <= high else f"it would change the organ's size by a factor of {scale:.2f}"


def _worse(new: Scores, old: Scores, max_folding_percent: float) -> str:
    """Why the new scores are no improvement; empty when the rung is to be kept."""
    if new.folding_percent > max_folding_percent:
        return f"{new.folding_percent:.2f} % of the organ folds; at most {max_folding_percent:g} % may"
    gain = new.correlation - old.correlation
    if gain < -CORRELATION_TOLERANCE:
        return f"local correlation falls from {old.correlation:.3f} to {new.correlation:.3f}"
    if new.organ_dice is not None and old.organ_dice is not None:
        if new.organ_dice < old.organ_dice - DICE_TOLERANCE:
            return f"organ Dice falls from {old.organ_dice:.3f} to {new.organ_dice:.3f}"
        gain += new.organ_dice - old.organ_dice
    return "" if gain >= 0 else "organ Dice and local correlation together fall"
