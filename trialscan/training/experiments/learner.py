"""What learns: the network with its running average, the optimiser and its schedule, and the loss."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from monai.losses import DiceCELoss, DiceLoss, FocalLoss
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trialscan.training.experiments.network import settle_modes
from trialscan.training.experiments.sections import LossSettings, OptimiserSettings
from trialscan.training.loop import Learner

_LARGEST_GRADIENT = 5.0
_FIRST_FACTOR = 0.01


def make_learner(network: nn.Module, settings: OptimiserSettings, ema: float | None, steps: int) -> Learner:
    """A learner for so many steps. Without `ema` its average is the network as it stands."""
    decay = 0.0 if ema is None else ema
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
    average.requires_grad_(requires_grad=False)
    rate, decrease = settings.learning_rate, settings.weight_decay
    optimiser: torch.optim.Optimizer
    if settings.kind == "adamw":
        optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decrease)
    else:
        optimiser = torch.optim.SGD(
            network.parameters(), lr=rate, weight_decay=decrease, momentum=settings.momentum, nesterov=True
        )
    return Learner(network, average, optimiser, _schedule(optimiser, settings, steps))


def _schedule(optimiser: torch.optim.Optimizer, settings: OptimiserSettings, steps: int) -> LRScheduler:
    if settings.schedule == "one_cycle":
        return OneCycleLR(
            optimiser, settings.learning_rate, total_steps=steps + 1, pct_start=max(settings.warm_up, 2 / (steps + 1))
        )
    warm = settings.warm_up * steps

    def factor(step: int) -> float:
        if step < warm:
            return _FIRST_FACTOR + (1.0 - _FIRST_FACTOR) * step / warm
        if settings.schedule == "constant":
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warm) / max(steps - warm, 1.0))))

    return LambdaLR(optimiser, factor)


class DiceFocal(nn.Module):
    """MONAI's Dice without the background, and its focal loss with it.

    Its own DiceFocalLoss takes the softmax of what is left once the background is gone: with one class it learns
    nothing from the focal part.
    """

    def __init__(self, settings: LossSettings, weight: Tensor | None) -> None:
        super().__init__()
        dice_weight = None if weight is None else weight[1:]
        self.dice = DiceLoss(include_background=False, softmax=True, batch=True, weight=dice_weight)
        self.focal = FocalLoss(use_softmax=True, gamma=settings.focal_gamma, weight=weight)
        self.settings = settings

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The weighted sum of both."""
        dice: Tensor = self.settings.dice_weight * self.dice(logits, target)
        focal: Tensor = self.settings.voxel_weight * self.focal(logits, target)
        return dice + focal


def make_loss(settings: LossSettings) -> nn.Module:
    """MONAI's losses of logits and one-hot classes; the background counts in the voxel-wise part only."""
    weight = None if settings.class_weights is None else torch.tensor(settings.class_weights)
    if settings.kind == "dice_focal":
        return DiceFocal(settings, weight)
    loss: nn.Module = DiceCELoss(
        include_background=False,
        softmax=True,
        batch=True,
        weight=weight,
        lambda_dice=settings.dice_weight,
        lambda_ce=settings.voxel_weight,
    )
    return loss


def as_classes(logits: Tensor, outputs: Sequence[int]) -> Tensor:
    """Logits of classes from those of outputs: the probability of a class is the sum of those of its outputs.

    So masks that tell less than the network does can still teach it (marginal loss, Shi et al., Med Image Anal 2021).
    """
    if list(outputs) == list(range(logits.shape[1])):
        return logits
    places = torch.tensor(outputs, device=logits.device)
    return torch.stack([logits[:, places == index].logsumexp(dim=1) for index in range(max(outputs) + 1)], dim=1)


def take_step(
    learner: Learner, loss: nn.Module, images: Tensor, classes: Tensor, *, outputs: Sequence[int], amp: bool
) -> float:
    """One step of the optimiser, the schedule and the average; returns the loss. `outputs` have the classes given."""
    settle_modes(learner.network)
    learner.optimiser.zero_grad(set_to_none=True)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=amp):
        answer = learner.network(images)
    logits = as_classes((answer[0] if isinstance(answer, list | tuple) else answer).float(), outputs)
    value = loss(logits, torch.nn.functional.one_hot(classes, logits.shape[1]).movedim(-1, 1).float())
    value.backward()
    nn.utils.clip_grad_norm_(learner.network.parameters(), _LARGEST_GRADIENT)
    learner.optimiser.step()
    learner.schedule.step()
    learner.average.update_parameters(learner.network)
    return float(value.detach())


@contextmanager
def repeatable(*, wanted: bool) -> Iterator[None]:
    """Operations that repeat to the bit on one device, or an error from torch where one does not."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
