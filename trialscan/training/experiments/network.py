"""The network of a training: the start's weights, but for the head where other classes are learnt."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from trialscan.errors import SegmentationError
from trialscan.segmentation.network import build_network
from trialscan.training.experiments.reading import SettingError
from trialscan.training.experiments.sections import FreezeSettings

OUT, IN = "out_channels", "in_channels"


@dataclass(frozen=True)
class HeadReport:
    """What became of the layers whose size the classes decide, in words and as the names of their tensors.

    kept : classes whose rows were taken over from the start's network, by name.
    """

    replaced: bool
    tensors: tuple[str, ...]
    kept: tuple[str, ...]


def resizable(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition that leaves open how many channels go in and out."""
    return {name: value for name, value in definition.items() if name not in {IN, OUT}}


def complete_definition(definition: Mapping[str, Any], channels: int, classes: int) -> dict[str, Any]:
    """The definition with as many channels in and out as needed; SettingError where it says otherwise."""
    for name, wanted in ((IN, channels), (OUT, classes)):
        if definition.get(name, wanted) != wanted:
            raise SettingError(
                ("network", name),
                f"found {definition[name]}; expected {wanted}. Leave it out, or prepare as many channels and classes",
            )
    return {**definition, IN: channels, OUT: classes}


def initialised(
    definition: Mapping[str, Any],
    seed: int,
    *,
    weights: Mapping[str, Tensor] | None,
    old: Sequence[str] | None,
    new: Sequence[str],
) -> tuple[nn.Module, HeadReport]:
    """A network by its seed, filled with the start's weights where there are any.

    Where the classes differ by name or order, every tensor of a size that the classes decide is drawn anew but for the
    rows of classes of the same name. `old` None means the classes of `weights` are not known by name: they are kept
    where they are as many. Where images have more channels than the start's, its first layer is spread over them.

    Raises
    ------
    SettingError
        The weights do not belong to this network.
    """
    torch.manual_seed(seed)
    network = build_network(definition, "experiment")
    fresh = network.state_dict()
    if weights is None:
        return network, HeadReport(replaced=True, tensors=(), kept=())
    head = axes_of(definition, OUT)
    same = list(old) == list(new) if old is not None else all(weights[n].shape == fresh[n].shape for n in head)
    stem = axes_of(definition, IN)
    filled: dict[str, Tensor] = {}
    for name, value in fresh.items():
        source = weights.get(name)
        if source is None:
            raise _stranger(name, "absent from the start's weights")
        if name in head and not same:
            filled[name] = _rows_kept(source, value, head[name], old or (), new)
        elif name in stem and source.shape != value.shape:
            filled[name] = _spread(source, value, stem[name])
        else:
            filled[name] = source
        if filled[name].shape != value.shape:
            raise _stranger(name, f"of shape {tuple(source.shape)} instead of {tuple(value.shape)}")
    network.load_state_dict(filled)
    kept = tuple(name for name in new if name in (old or ()))
    return network, HeadReport(not same, () if same else tuple(sorted(head)), kept if not same else tuple(new))


def axes_of(definition: Mapping[str, Any], size: str) -> dict[str, tuple[int, ...]]:
    """The tensors whose shape a size of the definition decides, each with the axes that it is the length of."""
    with torch.random.fork_rng():
        plain = build_network(definition, "experiment").state_dict()
        larger = build_network({**definition, size: definition[size] + 1}, "experiment").state_dict()
    return {
        name: tuple(axis for axis, n in enumerate(value.shape) if larger[name].shape[axis] != n)
        for name, value in plain.items()
        if value.shape != larger[name].shape
    }


def _rows_kept(source: Tensor, fresh: Tensor, axes: tuple[int, ...], old: Sequence[str], new: Sequence[str]) -> Tensor:
    """Fresh values, and the source's for classes of the same name along every axis that counts classes."""
    fits = all(source.shape[axis] == len(old) for axis in axes) and source.ndim == fresh.ndim
    shared = [name for name in new if name in old]
    if not fits or not shared:
        return fresh.clone()
    taken = source
    places: list[Tensor] = [torch.arange(n) for n in fresh.shape]
    for axis in axes:
        taken = taken.index_select(axis, torch.tensor([list(old).index(name) for name in shared]))
        places[axis] = torch.tensor([list(new).index(name) for name in shared])
    filled = fresh.clone()
    filled[torch.meshgrid(*places, indexing="ij")] = taken.to(fresh.dtype)
    return filled


def _spread(source: Tensor, fresh: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The same filters over more channels, each with its share."""
    for axis in axes:
        old, new = source.shape[axis], fresh.shape[axis]
        source = source.index_select(axis, torch.arange(new) % old) * (old / new)
    return source


def _stranger(name: str, found: str) -> SettingError:
    message = f"{name} is {found}; expected weights of the network that the experiment defines. Leave network out to "
    return SettingError(("start",), message + "take the start's, or start from a model of this network")


def require_matches(network: nn.Module, freeze: Sequence[FreezeSettings]) -> None:
    """SettingError where a pattern matches no parameter, or all of them stay frozen to the end."""
    names = [name for name, _ in network.named_parameters()]
    for index, entry in enumerate(freeze):
        if not any(fnmatchcase(name, entry.parameters) for name in names):
            shown = ", ".join([*names[:3], "…", *names[-2:]])
            message = f"no parameter is like {entry.parameters!r}; the network has {shown}"
            raise SettingError(("freeze", str(index), "parameters"), message)
    lasting = [entry for entry in freeze if entry.epochs is None]
    if all(any(fnmatchcase(name, entry.parameters) for entry in lasting) for name in names):
        raise SettingError(("freeze",), "every parameter is frozen to the end; expected some that may learn")


def set_frozen(network: nn.Module, freeze: Sequence[FreezeSettings], epoch: int) -> None:
    """Let learn what is not frozen in this epoch (counted from 0)."""
    now = [entry.parameters for entry in freeze if entry.epochs is None or epoch < entry.epochs]
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not any(fnmatchcase(name, pattern) for pattern in now))


def settle_modes(network: nn.Module) -> None:
    """Training mode, but for normalisations whose parameters are all frozen: their statistics stay too."""
    network.train()
    for module in _frozen_norms(network):
        module.eval()


def _frozen_norms(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if hasattr(module, "running_mean") and own and not any(each.requires_grad for each in own):
            yield module


def require_network(definition: Mapping[str, Any]) -> nn.Module:
    """The network of a definition; SettingError where it is none that can be built."""
    try:
        return build_network(definition, "experiment")
    except SegmentationError as error:
        where = tuple(error.where.partition("network_def.")[2].split(".")) if "network_def." in error.where else ()
        raise SettingError(("network", *where), f"found {error.found}; expected {error.expected}") from error
