"""The task graph's vocabulary: a plain function, what it reads, and what decides its result.

A task writes its files straight into the run folder. Its key is a digest of all that can change the result (kind,
version of the algorithm, parameters, contents of its inputs) and of nothing else; no path, clock, host or thread
count enters it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trialscan.audit import digest_json

Resource = Literal["cpu", "gpu"]
Status = Literal["ok", "failed", "skipped"]
Work = Callable[[Path, Any, Mapping[str, str]], "Sequence[str] | Written"]


@dataclass(frozen=True)
class Written:
    """What a task wrote, as relative paths, with what is told of it in the timeline only: stages' seconds, device."""

    names: Sequence[str]
    seconds: Mapping[str, float] = field(default_factory=dict)
    device: str = ""


@dataclass(frozen=True)
class Task:
    """One step of a run.

    Parameters
    ----------
    kind, subject : what is done, and to what: `segment`, `p01/BL`.
    version : of the algorithm; raised whenever the same inputs would give other results.
    work : module-level function `work(run, arguments, failures)` that returns what it wrote as paths or `Written`;
        `failures` maps the subjects of failed needs (`segment p01/BL`) to their messages.
    arguments : what `work` gets; picklable.
    parameters : the JSON value of everything in `arguments` that decides the result.
    inputs : name → sha256 of inputs from outside the run.
    needs : ids of tasks whose outputs it reads; `after` orders without being read.
    tolerant : runs even where a need failed.
    """

    kind: str
    subject: str
    version: int
    work: Work
    arguments: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    tolerant: bool = False
    resource: Resource = "cpu"

    @property
    def id(self) -> str:
        """Unique within a plan."""
        return f"{self.kind} {self.subject}"


@dataclass(frozen=True)
class Ran:
    """When and where a task ran, and for how long each of its stages; kept out of keys, results and the ledger."""

    started: str
    seconds: float
    host: str
    device: str
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a task ended: the files it wrote by digest, or why it did not."""

    status: Status
    key: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    ran: Ran | None = None
    cached: bool = False
    unexpected: bool = False


def resolve_inputs(task: Task, outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Name → sha256 of all that a task reads: its own inputs, and each need's outputs or the digest of its failure."""
    inputs = dict(task.inputs)
    for need in task.needs:
        outcome = outcomes[need]
        if outcome.status == "ok":
            inputs.update(outcome.outputs)
        else:
            inputs[f"failure of {need}"] = digest_json(outcome.message)
    return inputs


def task_key(task: Task, inputs: Mapping[str, str]) -> str:
    """The content address of a task's result."""
    return digest_json(
        {"kind": task.kind, "version": task.version, "parameters": task.parameters, "inputs": dict(inputs)}
        | {"subject": task.subject}
    )
