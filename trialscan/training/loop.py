"""The training loop: deterministic by step, so that a killed run resumes to the same weights."""

import csv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trialscan.errors import UsageError
from trialscan.segmentation import load_bundle
from trialscan.segmentation.network import build_network
from trialscan.training.cases import Case
from trialscan.training.config import TrainingConfig
from trialscan.training.growth import add_finest_level

Made = TypeVar("Made")
Sampler = Callable[[Case, TrainingConfig, np.random.Generator], tuple[Tensor, Tensor]]
CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
AVERAGE_EVERY = 5
SETTLING_BATCHES = 60


@dataclass(frozen=True, eq=False)
class Learner:
    """What changes during training: the network, its running average, the optimiser and the learning-rate schedule."""

    network: nn.Module
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    def state(self, step: int) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "step": step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> int:
        """Load a state; returns the step it was taken at."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        return int(state["step"])


def make_learner(config: TrainingConfig, weights: dict[str, Tensor] | None = None) -> Learner:
    """A network from the configuration's seed, or from given weights, with AdamW, one-cycle schedule and average.

    Weights of a network that is one level shallower are grown to the configuration's (`add_finest_level`).
    """
    torch.manual_seed(config.seed)
    network = build_network(config.network, config.name)
    if weights is not None:
        finer = len(weights) < len(network.state_dict())
        network.load_state_dict(add_finest_level(weights, network) if finer else weights)
    if config.kind == "volume":
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    average = AveragedModel(
        network,
        multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay),  # type: ignore[no-untyped-call]
    )
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.05
    )
    return Learner(network, average, optimiser, schedule)


def train(
    config: TrainingConfig,
    cases: list[Case],
    sampler: Sampler,
    out: Path,
    *,
    start_from: dict[str, Tensor] | None = None,
    stop_after: int | None = None,
) -> Path:
    """Train to `config.steps` (or stop earlier, to be resumed), writing `checkpoint.pt` and `log.csv` to `out`.

    A checkpoint found in `out` is resumed. Patches depend on the seed and the step alone, so an interrupted run ends
    with the weights of an uninterrupted one on the same machine and number of threads. `start_from` are weights to
    begin with when there is no checkpoint.
    """
    if not cases:
        raise UsageError("training", "no cases", "at least one case", "Make the data first.")
    out.mkdir(parents=True, exist_ok=True)
    learner = make_learner(config, start_from)
    checkpoint = out / CHECKPOINT
    first = learner.restore(torch.load(checkpoint, weights_only=True)) if checkpoint.exists() else 0
    last = config.steps if stop_after is None else min(stop_after, config.steps)
    loss = DiceCELoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        batch=True,
        lambda_dice=config.dice_weight,
        lambda_ce=config.cross_entropy_weight,
        weight=None if config.class_weights is None else torch.tensor(config.class_weights),
    )
    with (out / LOG).open("a" if first else "w", newline="", encoding="utf-8") as stream:
        log = csv.writer(stream)
        if not first:
            log.writerow(["step", "loss", "learning_rate"])
        for step, (images, labels) in _batches(config, cases, sampler, first, last):
            if step == config.freeze_norm_at and config.settle_norm:
                seen = _batches(config, cases, sampler, 0, SETTLING_BATCHES)
                _settle_norm(learner, (batch for _, (batch, _) in seen), bfloat16=config.bfloat16)
            if config.freeze_norm_at is not None and step >= config.freeze_norm_at:
                _freeze_norm(learner.network)
            value = _step(learner, loss, images, labels, config)
            if (step + 1) % AVERAGE_EVERY == 0:
                learner.average.update_parameters(learner.network)
            log.writerow([step + 1, f"{value:.5f}", f"{learner.schedule.get_last_lr()[0]:.3e}"])
            stream.flush()
            if (step + 1) % config.checkpoint_every == 0 or step + 1 == last:
                write_checkpoint(learner.state(step + 1), checkpoint)
    return checkpoint


def _settle_norm(learner: Learner, batches: Iterator[Tensor], *, bfloat16: bool) -> None:
    """Go on from the averaged weights, with the statistics that they have over many batches."""
    learner.network.load_state_dict(learner.average.module.state_dict())
    for module in _norms(learner.network):
        module.reset_running_stats()
        module.momentum = None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        for batch in batches:
            learner.network(batch)


def _freeze_norm(network: nn.Module) -> None:
    for module in _norms(network):
        module.eval()


def _norms(network: nn.Module) -> Iterator[nn.BatchNorm2d | nn.BatchNorm3d]:
    return (module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d))


def average_weights(source: Path) -> dict[str, Tensor]:
    """Weights under the network's own names: a checkpoint's running average, or those of a bundle's folder."""
    if source.is_dir():
        return load_bundle(source, "cpu").network.state_dict()
    state = torch.load(source, weights_only=True)["average"]
    return {name.removeprefix("module."): value for name, value in state.items() if name != "n_averaged"}


def _batches(
    config: TrainingConfig, cases: list[Case], sampler: Sampler, first: int, last: int
) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """Batches in order; the next is prepared while the network works on the present one."""

    def make(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([config.seed, step])
        drawn = [sampler(cases[int(rng.integers(len(cases)))], config, rng) for _ in range(config.batch)]
        return torch.stack([image for image, _ in drawn]), torch.stack([labels for _, labels in drawn])

    return made_ahead(make, first, last)


def made_ahead(make: Callable[[int], Made], first: int, last: int) -> Iterator[tuple[int, Made]]:
    """What `make` gives for each step from `first` to before `last`; the next is made while the present one is used."""
    upcoming: Future[Made] | None = None
    with ThreadPoolExecutor(1) as pool:
        for step in range(first, last):
            made = (upcoming or pool.submit(make, step)).result()
            upcoming = pool.submit(make, step + 1) if step + 1 < last else None
            yield step, made


def _step(learner: Learner, loss: nn.Module, images: Tensor, labels: Tensor, config: TrainingConfig) -> float:
    if images.ndim == 5:
        images = images.contiguous(memory_format=torch.channels_last_3d)
    learner.optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        logits = learner.network(images)
    value = loss(logits.float(), labels[:, None])
    value.backward()
    torch.nn.utils.clip_grad_norm_(learner.network.parameters(), 5.0)
    learner.optimiser.step()
    learner.schedule.step()
    return float(value.detach())


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a state, whole or not at all."""
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(path)


def mean_weights(sources: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the averaged weights of runs that set out from the same weights (Wortsman et al., ICML 2022)."""
    runs = [average_weights(path) for path in sources]
    return {
        name: torch.stack([run[name] for run in runs]).mean(0, dtype=torch.float64).to(value.dtype)
        for name, value in runs[0].items()
    }
