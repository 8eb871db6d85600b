"""Networks from their written definition: names of MONAI's networks and plain numbers, never code."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from trialscan.errors import SegmentationError
from trialscan.segmentation.unet import UNet, read_unet

_ALLOWED_PREFIX = "monai.networks.nets."
_ALLOWED_NETWORKS = frozenset({"UNet", "BasicUNet", "DynUNet", "SegResNet", "SegResNetDS", "AttentionUnet", "UNETR"})


def build_for_inference(definition: Mapping[str, Any], where: str) -> nn.Module:
    """Build the network as this project's own `UNet` where it is one that this knows, else as `build_network` does."""
    known = read_unet(definition)
    return build_network(definition, where) if known is None else UNet(known)


def build_network(definition: Mapping[str, Any], where: str) -> nn.Module:
    """Build MONAI's network that a `network_def` describes.

    Parameters
    ----------
    definition : MONAI's configuration: `_target_`, one of the allowed networks, and its arguments.
    where : the file the definition came from, for messages.

    Raises
    ------
    SegmentationError
        The target is not an allowed network, an argument holds an expression, reference or further target, or
        the network refuses its arguments.
    """
    target = definition.get("_target_")
    if target not in {name for short in _ALLOWED_NETWORKS for name in (short, _ALLOWED_PREFIX + short)}:
        raise SegmentationError(
            f"{where}: network_def._target_",
            repr(target),
            f"one of {', '.join(sorted(_ALLOWED_NETWORKS))} from {_ALLOWED_PREFIX.rstrip('.')}",
            "Bundles that bring their own code are not run.",
        )
    for name, value in definition.items():
        if name != "_target_":
            _refuse_code(value, f"{where}: network_def.{name}")
    from monai.bundle import ConfigParser  # noqa: PLC0415 - slow to load, and not needed for the shipped models

    try:
        network = ConfigParser({"network_def": dict(definition)}).get_parsed_content("network_def")
    except (RuntimeError, TypeError, ValueError) as error:
        raise SegmentationError(
            f"{where}: network_def", str(error), "arguments that the network takes", "Repair or replace the bundle."
        ) from error
    if not isinstance(network, nn.Module):
        raise SegmentationError(f"{where}: network_def", f"a {type(network).__name__}", "a network")
    return network


def _refuse_code(value: object, where: str) -> None:
    """Refuse MONAI's executable and referring syntax anywhere inside an argument."""
    if isinstance(value, str) and value.startswith(("$", "@", "%")):
        raise SegmentationError(where, repr(value), "a plain value", "Bundles that bring their own code are not run.")
    if isinstance(value, Mapping):
        if "_target_" in value or "_mode_" in value:
            raise SegmentationError(where, "a nested _target_", "plain values", "Use a bundle of plain values.")
        for name, inner in value.items():
            _refuse_code(inner, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _refuse_code(inner, f"{where}[{index}]")
