"""Where networks run."""

import torch

from trialscan.errors import UsageError


def device_name(name: str) -> str:
    """What a device is called by its maker: `cpu`, or a GPU's product name."""
    device = choose_device(name)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def choose_device(name: str = "auto") -> torch.device:
    """The device called `auto` (a GPU when there is one), `cpu`, `cuda` or `cuda:N`.

    Raises
    ------
    UsageError
        The name is none of these, or the GPU asked for is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()) or name.endswith(":"):
        raise UsageError("--device", repr(name), "auto, cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if int(index or 0) >= found:
        raise UsageError(
            "--device", f"{name}, but {found} CUDA devices are visible", "a device that is there", "Use auto."
        )
    return torch.device(name)
