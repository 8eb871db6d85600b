"""A network made finer: one more level on top of a trained MONAI `UNet`, which gives the same answers as before.

The new level works at the full resolution of the model's grid; the old levels keep their weights and move one down.
What enters and leaves them passes unchanged through the first channels of the new level, whose other channels begin
without influence and learn to have some. To start from the same function is the idea of Chen, Goodfellow & Shlens,
"Net2Net" (ICLR 2016); the rule for each layer is our own.
"""

from torch import Tensor, nn

_BELOW = "model.1.submodule."
_NORM_EPSILON = nn.BatchNorm3d(1).eps


def add_finest_level(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Weights for `network` that compute, in evaluation mode, what the shallower network of `weights` does.

    Parameters
    ----------
    weights : of a `UNet` with two residual units a level, batch normalisation and ReLU.
    network : the same `UNet` with one level more in front, of stride 1 and at least as many channels as it has classes.
        Its own random weights are kept where they have no influence yet.
    """
    grown = {name: value.clone() for name, value in network.state_dict().items()}
    for name, value in weights.items():
        if name.startswith("model.0."):
            _first_inputs(grown[_BELOW + name.removeprefix("model.")], value)
        elif name.startswith("model.1."):
            grown[f"{_BELOW}{name.removeprefix('model.')}"] = value
        elif name.startswith("model.2.0."):
            _first_outputs(grown[_BELOW + name.removeprefix("model.")], value)
        else:
            grown[name] = value
    _pass_image(grown)
    _pass_features(grown)
    return grown


def _first_inputs(grown: Tensor, value: Tensor) -> None:
    """The first input channels are the old ones, the others add nothing."""
    if value.ndim > 1:
        grown[:, value.shape[1] :] = 0
        grown[:, : value.shape[1]] = value
    else:
        grown.copy_(value)


def _first_outputs(grown: Tensor, value: Tensor) -> None:
    """The first output channels of a transposed convolution and its normalisation are the old ones."""
    if value.ndim > 1:
        grown[:, : value.shape[1]] = value
    elif value.ndim == 1:
        grown[: value.shape[0]] = value


def _pass_image(grown: dict[str, Tensor]) -> None:
    """Channel 0 of the new level is the image: the residual path carries it, the convolutions add nothing to it."""
    grown["model.0.residual.weight"][0] = 1
    grown["model.0.residual.bias"][0] = 0
    grown["model.0.conv.unit1.adn.N.weight"][0] = 0
    grown["model.0.conv.unit1.adn.N.bias"][0] = 0


def _pass_features(grown: dict[str, Tensor]) -> None:
    """On the way up, the last transposed convolution hands on one old feature (not negative) for each class."""
    unit = f"{_BELOW}2.1.conv.unit0.adn.N."
    last = "model.2.0."
    classes = grown[f"{last}conv.bias"].shape[0]
    channels = grown[f"{last}conv.weight"].shape[0] // 2
    for part in ("weight", "bias"):
        grown[unit + part][:classes] = 0
    grown[f"{last}conv.weight"].zero_()
    for label in range(classes):
        grown[f"{last}conv.weight"][channels + label, label, 1, 1, 1] = 1
    grown[f"{last}conv.bias"].zero_()
    grown[f"{last}adn.N.weight"].fill_(1)
    grown[f"{last}adn.N.bias"].zero_()
    grown[f"{last}adn.N.running_mean"].zero_()
    grown[f"{last}adn.N.running_var"].fill_(1 - _NORM_EPSILON)
