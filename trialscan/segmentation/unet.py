"""MONAI's `UNet` for inference, built without loading MONAI, which takes longer than to segment a scan.

Modules bear the names that they have in MONAI's network, so that its weights fit. Folded, what is left of it is
convolutions and activations: in inference a batch normalisation is a fixed scale and shift of the convolution before it
(`torch.nn.utils.fusion`), which then does both.
"""

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

Count = Annotated[int, Field(ge=1)]
_CONVOLUTION: Mapping[int, tuple[type[nn.Module], type[nn.Module]]] = {
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}
_NORM: Mapping[tuple[str, int], type[nn.Module]] = {
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
}


class UNetDefinition(BaseModel):
    """The arguments of MONAI's `UNet` that are understood here; its others keep their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spatial_dims: Literal[2, 3]
    in_channels: Count
    out_channels: Count
    channels: Annotated[tuple[Count, ...], Field(min_length=2)]
    strides: tuple[Count, ...]
    num_res_units: Annotated[int, Field(ge=0)] = 0
    norm: Literal["batch", "instance"] = "instance"
    act: Literal["prelu", "relu"] = "prelu"


def read_unet(definition: Mapping[str, Any]) -> UNetDefinition | None:
    """The definition of a `UNet` that can be built here; None for any other, which is left to MONAI."""
    arguments = {name: value for name, value in definition.items() if name != "_target_"}
    if definition.get("_target_") not in {"UNet", "monai.networks.nets.UNet"}:
        return None
    try:
        read = UNetDefinition.model_validate(arguments)
    except ValidationError:
        return None
    return read if len(read.strides) == len(read.channels) - 1 else None


class UNet(nn.Module):
    """The network; input (batch, in_channels, i, j[, k]), output the same with out_channels."""

    def __init__(self, definition: UNetDefinition) -> None:
        super().__init__()
        make = _Maker(definition)
        self.spatial_dims = definition.spatial_dims
        self.channels_last = False
        self.model = _level(make, definition.in_channels, definition.out_channels, definition.channels, top=True)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of an image."""
        if self.channels_last:
            image = image.contiguous(memory_format=torch.channels_last_3d)
        logits: Tensor = self.model(image)
        return logits.contiguous()


def lean(network: nn.Module) -> nn.Module:
    """The same function in fewer steps, for a network in evaluation; itself where it is not built here.

    On a CPU, networks of three dimensions without other normalisation run with channels last, which convolutions are
    faster in and instance normalisation slower.
    """
    if not isinstance(network, UNet):
        return network
    folded = copy.deepcopy(network)
    for module in folded.modules():
        if isinstance(module, _Unit):
            module.fold()
    normalised = any(isinstance(module, nn.InstanceNorm3d) for module in folded.modules())
    on_cpu = next(network.parameters()).device.type == "cpu"
    folded.channels_last = network.spatial_dims == 3 and on_cpu and not normalised
    if folded.channels_last:
        folded.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # torch's stub lacks it
    return folded


class _Unit(nn.Sequential):
    """MONAI's `Convolution`: `conv`, then `adn` of a normalisation `N` and an activation `A`, or the first alone."""

    def fold(self) -> None:
        """Let the convolution do what a batch normalisation after it does, and the activation work in place."""
        conv, after = self.get_submodule("conv"), getattr(self, "adn", None)
        if after is None:
            return
        if isinstance(conv, _ConvNd) and isinstance(after.N, _BatchNorm):
            self.conv = fuse_conv_bn_eval(conv, after.N, transpose=isinstance(conv, _ConvTransposeNd))
            after.N = nn.Identity()
        if isinstance(after.A, nn.ReLU):
            after.A = nn.ReLU(inplace=True)


class _Residual(nn.Module):
    """MONAI's `ResidualUnit`: what the units make of the input, and the input itself, or a convolution of it."""

    def __init__(self, units: Sequence[_Unit], residual: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Sequential(OrderedDict((f"unit{index}", unit) for index, unit in enumerate(units)))
        self.residual = residual

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image)
        found += self.residual(image)
        return found


class _Skip(nn.Module):
    """MONAI's `SkipConnection`: the input beside what the deeper levels make of it."""

    def __init__(self, submodule: nn.Module) -> None:
        super().__init__()
        self.submodule = submodule

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([image, self.submodule(image)], dim=1)


@dataclass(frozen=True)
class _Maker:
    """Makes the network's parts."""

    definition: UNetDefinition

    def conv(self, source: int, target: int, stride: int, kernel: int = 3) -> nn.Module:
        return _CONVOLUTION[self.definition.spatial_dims][0](source, target, kernel, stride, padding=kernel // 2)

    def unit(self, source: int, target: int, stride: int) -> _Unit:
        return self._unit(self.conv(source, target, stride), target)

    def rising(self, source: int, target: int, stride: int, *, bare: bool) -> _Unit:
        kind = _CONVOLUTION[self.definition.spatial_dims][1]
        conv = kind(source, target, 3, stride, padding=1, output_padding=stride - 1)
        return _Unit(OrderedDict(conv=conv)) if bare else self._unit(conv, target)

    def down(self, source: int, target: int, stride: int) -> nn.Module:
        count = self.definition.num_res_units
        if count == 0:
            return self.unit(source, target, stride)
        first = self.unit(source, target, stride)
        residual: nn.Module = nn.Identity()
        if stride != 1 or source != target:
            residual = self.conv(source, target, stride, kernel=1 if stride == 1 else 3)
        return _Residual([first, *(self.unit(target, target, 1) for _ in range(count - 1))], residual)

    def up(self, source: int, target: int, stride: int, *, top: bool) -> nn.Module:
        if self.definition.num_res_units == 0:
            return self.rising(source, target, stride, bare=top)
        last = _Unit(OrderedDict(conv=self.conv(target, target, 1))) if top else self.unit(target, target, 1)
        return nn.Sequential(self.rising(source, target, stride, bare=False), _Residual([last], nn.Identity()))

    def _unit(self, conv: nn.Module, channels: int) -> _Unit:
        norm = _NORM[self.definition.norm, self.definition.spatial_dims](channels)
        act = nn.PReLU() if self.definition.act == "prelu" else nn.ReLU()
        return _Unit(OrderedDict(conv=conv, adn=nn.Sequential(OrderedDict(N=norm, A=act))))


def _level(make: _Maker, source: int, target: int, channels: Sequence[int], *, top: bool) -> nn.Sequential:
    """A level and all below it: down, the skip around the deeper ones, up."""
    own, *deeper = channels
    stride = make.definition.strides[-len(deeper)]
    if len(deeper) > 1:
        below: nn.Module = _level(make, own, own, deeper, top=False)
        joined = 2 * own
    else:
        below = make.down(own, deeper[0], 1)
        joined = own + deeper[0]
    return nn.Sequential(make.down(source, own, stride), _Skip(below), make.up(joined, target, stride, top=top))
