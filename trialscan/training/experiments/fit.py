"""One fit: a variant, a seed and a fold. Killed at any time and resumed, it ends with the same weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from trialscan.errors import UsageError
from trialscan.segmentation.engine import LoadedNetwork
from trialscan.training.experiments.curves import CurveRow
from trialscan.training.experiments.design import Design
from trialscan.training.experiments.folds import Fold
from trialscan.training.experiments.learner import make_learner, make_loss, take_step
from trialscan.training.experiments.network import HeadReport, initialised, set_frozen
from trialscan.training.experiments.patches import batches
from trialscan.training.experiments.prediction import validation_dice
from trialscan.training.experiments.preparation import PreparedCase
from trialscan.training.loop import CHECKPOINT, Learner, write_checkpoint


class Watch(Protocol):
    """Whoever follows an experiment."""

    def plan(self, fits: int, epochs: int) -> None:
        """So many fits of together so many epochs are to come."""
        ...

    def epoch(self, fit: str, row: CurveRow) -> None:
        """An epoch of a fit has ended."""
        ...

    def say(self, message: str) -> None:
        """Something that a person should know."""
        ...


@dataclass(frozen=True, eq=False)
class Fit:
    """What one fit is made of; `key` is the digest of all that decides its weights."""

    design: Design
    seed: int
    fold: Fold
    key: str
    device: torch.device

    @property
    def name(self) -> str:
        """The folder of its files."""
        return f"{self.design.name}/seed-{self.seed}/{self.fold.name}"

    @property
    def iterations(self) -> int:
        """Steps an epoch."""
        settings = self.design.settings
        return settings.iterations or -(-len(self.fold.learn) // settings.batch)


@dataclass(frozen=True, eq=False)
class Fitted:
    """How a fit ended: the weights kept and why these, the curve, and what became of the head."""

    weights: Mapping[str, Tensor]
    kept_epoch: int
    kept: str
    curve: tuple[CurveRow, ...]
    head: HeadReport


@dataclass
class _Course:
    """How far a fit has come; `best` holds the weights of the best epoch where they may be wanted."""

    epoch: int = 0
    curve: list[CurveRow] = field(default_factory=list)
    best_dice: float = -1.0
    best_epoch: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    ended: bool = False

    def state(self) -> dict[str, Any]:
        return {**vars(self), "curve": [vars(row) for row in self.curve]}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "_Course":
        return cls(**{**state, "curve": [CurveRow(**row) for row in state["curve"]]})


def run_fit(fit: Fit, cases: Sequence[PreparedCase], folder: Path, watch: Watch) -> Fitted:
    """Train to the last epoch or until it stops early, from the checkpoint in `folder` where there is one.

    Raises
    ------
    UsageError
        The checkpoint in the folder is of another fit, or the loss is no number any more.
    """
    design, settings = fit.design, fit.design.settings
    network, head = initialised(
        design.network, fit.seed, weights=design.start.weights, old=design.start.labels, new=design.classes.output_names
    )
    network.to(fit.device)
    learner = make_learner(network, settings.optimiser, settings.ema, settings.epochs * fit.iterations)
    course = _resumed(learner, folder / CHECKPOINT, fit)
    learnt = [cases[index] for index in fit.fold.learn]
    watched = [cases[index] for index in fit.fold.watch]
    folder.mkdir(parents=True, exist_ok=True)
    while course.epoch < settings.epochs and not course.ended:
        loss = _run_epoch(fit, learner, learnt, course.epoch)
        _close_epoch(fit, learner, course, loss, watched)
        state = {**learner.state(course.epoch * fit.iterations), "course": course.state(), "key": fit.key}
        write_checkpoint(state, folder / CHECKPOINT)
        watch.epoch(fit.name, course.curve[-1])
    if settings.keep == "best":
        kept = (
            "the epoch whose Dice on the inner validation was highest; the fold's own cases had no part in the choice"
        )
        return Fitted(course.best, course.best_epoch, kept, tuple(course.curve), head)
    kept = (
        "the last epoch; nothing was chosen by any case"
        if settings.early_stopping is None
        else ("the last epoch, which the inner validation ended; the fold's own cases had no part in it")
    )
    return Fitted(_averaged(learner), course.epoch, kept, tuple(course.curve), head)


def _resumed(learner: Learner, checkpoint: Path, fit: Fit) -> _Course:
    if not checkpoint.exists():
        return _Course()
    state = torch.load(checkpoint, weights_only=True, map_location=fit.device)
    if state.get("key") != fit.key:
        raise UsageError(
            f"{fit.name}/{CHECKPOINT}", "a checkpoint of another experiment", "this one's", "Choose another folder."
        )
    learner.restore(state)
    return _Course.restored(state["course"])


def _run_epoch(fit: Fit, learner: Learner, cases: Sequence[PreparedCase], epoch: int) -> float:
    """Mean loss over the epoch's steps. Each step has a seed of its own, so that nothing hangs on what ran before."""
    settings = fit.design.settings
    set_frozen(learner.network, settings.freeze, epoch)
    loss = make_loss(settings.loss).to(fit.device)
    total = 0.0
    steps = epoch * fit.iterations, (epoch + 1) * fit.iterations
    for step, (images, classes) in batches(fit.design, cases, (fit.seed, fit.fold.number), *steps):
        torch.manual_seed(int(np.random.SeedSequence([fit.seed, fit.fold.number, step]).generate_state(1)[0]))
        amp = settings.amp == "bf16"
        shown = images.to(fit.device), classes.to(fit.device)
        value = take_step(learner, loss, *shown, outputs=fit.design.classes.outputs, amp=amp)
        if not np.isfinite(value):
            raise UsageError(
                f"{fit.name}: step {step + 1}", f"a loss of {value}", "a finite one", "Lower optimiser.learning_rate."
            )
        total += value
    return total / fit.iterations


def _close_epoch(fit: Fit, learner: Learner, course: _Course, loss: float, watched: Sequence[PreparedCase]) -> None:
    """The epoch's row of the curve, the best so far, and whether it is time to stop."""
    settings = fit.design.settings
    course.epoch += 1
    dice: float | None = None
    if watched and (course.epoch % settings.validation.every_epochs == 0 or course.epoch == settings.epochs):
        dice = validation_dice(loaded(fit, learner.average.module), watched, fit.design.classes)
        least = settings.early_stopping.least_gain if settings.early_stopping else 0.0
        if dice > course.best_dice + (least if course.best_epoch >= 0 else 0.0):
            course.best_dice, course.best_epoch = dice, course.epoch
            course.best = _averaged(learner) if settings.keep == "best" else {}
    rate = float(learner.schedule.get_last_lr()[0])
    course.curve.append(CurveRow(course.epoch, course.epoch * fit.iterations, rate, loss, dice))
    stop = settings.early_stopping
    course.ended = stop is not None and course.epoch - max(course.best_epoch, 0) >= stop.patience


def loaded(fit: Fit, network: torch.nn.Module) -> LoadedNetwork:
    """A network as it is run on scans."""
    return LoadedNetwork(network.eval(), fit.design.preparation.spec, fit.device)


def _averaged(learner: Learner) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in learner.average.module.state_dict().items()}
