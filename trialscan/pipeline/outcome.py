"""What a run came to: counts, failures, and the exit code that says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialscan.errors import ScanError
from trialscan.pipeline.tasks import Outcome, Task

TRIAL_KINDS = ("tabulate", "analyse", "figures", "report", "index")


@dataclass(frozen=True)
class Failure:
    """A task that did not end well, in words."""

    kind: str
    subject: str
    message: str


@dataclass(frozen=True)
class RunSummary:
    """The end of a run.

    `status` is complete, complete_with_failures (some scans or patients failed; the rest is there), failed (the
    trial's tables or reports could not be made) or partial (a shard or a single patient was computed).
    """

    folder: Path
    status: str
    counts: Mapping[str, int]
    failures: tuple[Failure, ...]
    absent: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0, 4 where scans or patients failed, 1 where the trial's own results could not be made."""
        return {"failed": 1, "complete_with_failures": ScanError.exit_code}.get(
            self.status, 0 if not self.failures else 4
        )

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "status": self.status,
            "folder": str(self.folder),
            "counts": dict(self.counts),
            "failures": [vars(failure) for failure in self.failures],
            "comparison_absent": dict(self.absent),
        }


def failures_of(tasks: Sequence[Task], outcomes: Mapping[str, Outcome]) -> tuple[Failure, ...]:
    """Failed tasks in the plan's order; what was skipped only because of them is not repeated."""
    return tuple(
        Failure(task.kind, task.subject, outcomes[task.id].message)
        for task in tasks
        if outcomes[task.id].status == "failed"
    )


def status_of(failures: Sequence[Failure], unreadable: int) -> str:
    """The status that failures amount to."""
    if any(failure.kind in TRIAL_KINDS for failure in failures):
        return "failed"
    return "complete_with_failures" if failures or unreadable else "complete"
