"""One step of a training in a process of its own, so that memory that does not suffice is found before hours are spent.

`python -m trialscan.training.experiments.rehearsal` reads a step's description from standard input and writes what it
took to standard output, both JSON. The process may not hold more memory than is free, so that it fails and not another.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from trialscan.errors import UsageError
from trialscan.segmentation.network import build_network
from trialscan.training.experiments.design import Design
from trialscan.training.experiments.learner import make_learner, make_loss, take_step
from trialscan.training.experiments.sections import LossSettings, OptimiserSettings

_FREE_SHARE = 0.9
_GIB = 2**30
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "MemoryError")


@dataclass(frozen=True)
class Rehearsed:
    """What a step took: the most memory held beside what the libraries take, and the time of the second of two."""

    peak_bytes: int
    seconds: float


Rehearse = Callable[[Design, torch.device], Rehearsed]


def rehearse(design: Design, device: torch.device) -> Rehearsed:
    """Take two steps of a variant at its own batch and patch, in a process of its own.

    Raises
    ------
    UsageError
        Memory does not suffice, or the network refuses the patch.
    """
    free = free_memory()
    request = {
        "network": dict(design.network),
        "shape": [design.settings.batch, design.network["in_channels"], *design.patch],
        "outputs": list(design.classes.outputs),
        "optimiser": design.settings.optimiser.model_dump(mode="json"),
        "loss": design.settings.loss.model_dump(mode="json"),
        "amp": design.settings.amp == "bf16",
        "device": str(device),
        "threads": torch.get_num_threads(),
        "limit": int(free * _FREE_SHARE),
    }
    command = [sys.executable, "-m", "trialscan.training.experiments.rehearsal"]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)  # noqa: S603 - itself
    if done.returncode == 0:
        return Rehearsed(**json.loads(done.stdout.splitlines()[-1]))
    raise _refusal(design, done.returncode, done.stderr, free)


def _refusal(design: Design, code: int, stderr: str, free: int) -> UsageError:
    shown = " × ".join(map(str, design.patch))
    where = f"variant {design.name}: a step of {design.settings.batch} patches of {shown}"
    if code < 0 or any(sign in stderr for sign in _OUT_OF_MEMORY):
        found = f"needs more memory than the {free / _GIB:.1f} GiB that are free"
        return UsageError(where, found, "a step that fits", "Make patch or batch smaller.")
    lines = [line for line in stderr.splitlines() if line.strip()]
    return UsageError(
        where,
        f"the network refuses it: {lines[-1] if lines else f'exit code {code}'}",
        "lengths that the network's strides divide",
        "Change patch or network.",
    )


def free_memory() -> int:
    """Bytes that a new process may take: what the kernel calls available, or less where a control group says so."""
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(meminfo["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and (allowed := limit.read_text(encoding="ascii").strip()).isdecimal():
        free = min(free, int(allowed) - int(used.read_text(encoding="ascii")))
    return free


def step_alone(request: dict[str, Any]) -> Rehearsed:
    """Two steps on noise within the request's limit of memory."""
    torch.set_num_threads(request["threads"])
    device = torch.device(request["device"])
    network = build_network(request["network"], "experiment").to(device)
    learner = make_learner(network, OptimiserSettings.model_validate(request["optimiser"]), 0.5, 2)
    loss = make_loss(LossSettings.model_validate(request["loss"])).to(device)
    before = _status("VmHWM")
    ceiling = _status("VmData") + request["limit"]
    resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))
    generator = torch.Generator().manual_seed(0)
    shape, outputs = request["shape"], request["outputs"]
    seconds = 0.0
    for _ in range(2):
        start = perf_counter()
        images = torch.randn(shape, generator=generator).to(device)
        classes = torch.randint(max(outputs) + 1, (shape[0], *shape[2:]), generator=generator).to(device)
        take_step(learner, loss, images, classes, outputs=outputs, amp=request["amp"])
        seconds = perf_counter() - start
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Rehearsed(max(_status("VmHWM") - before, gpu), seconds)


def _status(name: str) -> int:
    """A size in bytes from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(step_alone(json.load(sys.stdin)))) + "\n")
