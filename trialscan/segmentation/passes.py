"""A second look through a mirror: where the network disagrees with itself, it should not be believed.

Agreement between passes is the best simple detector of failed segmentations (Zenk et al., "Comparative benchmarking of
failure detection methods in medical image segmentation", 2025).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_FIRST_AXIS = 2


def mirrored(image: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
    """Probabilities (classes, i, …) of an image (1, channels, i, …) that the network sees with its axis i reversed."""
    return network(image.flip(_FIRST_AXIS)).flip(_FIRST_AXIS - 1)


def pass_agreement(first: Tensor, second: Tensor, lesion_labels: Sequence[int]) -> dict[str, float | str | None]:
    """Dice of two passes' most probable labels: `mirror_dice_foreground` and, with lesion labels, `_lesions`.

    Two empty masks agree wholly.
    """
    labels = first.argmax(dim=0), second.argmax(dim=0)
    found: dict[str, float | str | None] = {"mirror_dice_foreground": _dice(labels[0] > 0, labels[1] > 0)}
    if lesion_labels:
        wanted = torch.tensor(list(lesion_labels), device=first.device)
        found["mirror_dice_lesions"] = _dice(torch.isin(labels[0], wanted), torch.isin(labels[1], wanted))
    return found


def _dice(first: Tensor, second: Tensor) -> float:
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 1.0
