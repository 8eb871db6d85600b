"""What a person sees while a run goes on, and what it came to."""

import json
import sys
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from trialscan.pipeline.outcome import RunSummary
from trialscan.pipeline.preview import Preview
from trialscan.pipeline.tasks import Outcome, Task


class Steps:
    """A bar on a terminal, nothing on anything else. Always on standard error."""

    def __init__(self, description: str) -> None:
        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )
        self._id = self._bar.add_task(description, total=None)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self._bar.stop()

    def reach(self, done: int, total: int) -> None:
        """So many steps of so many are done."""
        self._bar.update(self._id, completed=done, total=total)

    def name(self, description: str) -> None:
        """What is being done."""
        self._bar.update(self._id, description=description)

    def print(self, line: str) -> None:
        """A line above the bar."""
        self._console.print(line, markup=False, highlight=False)


class Progress(Steps):
    """The bar of a run's tasks; where there is no terminal one line a failure."""

    def __init__(self) -> None:
        super().__init__("planning")

    def start(self, total: int) -> None:
        """The plan is made."""
        self._bar.update(self._id, total=total, description="starting")

    def advance(self, task: Task, outcome: Outcome) -> None:
        """One task has ended."""
        self._bar.update(self._id, advance=1, description=task.id)
        if outcome.status == "failed":
            self._console.print(f"failed: {task.id}: {outcome.message}", style="red", markup=False, highlight=False)


def print_preview(preview: Preview, *, as_json: bool) -> None:
    """What a run would do."""
    if as_json:
        body = {"planned": dict(preview.planned), "stored": dict(preview.stored), "to_do": preview.to_do}
        click.echo(json.dumps(body))
        return
    for kind, count in preview.planned.items():
        click.echo(f"{kind:10} {count:6} planned {preview.stored.get(kind, 0):6} stored")
    click.echo(f"{preview.to_do} tasks to do")


def print_summary(summary: RunSummary, *, as_json: bool) -> None:
    """What a run came to: status and counts, every failure, and why a comparison is absent."""
    if as_json:
        click.echo(json.dumps(summary.as_json()))
        return
    counts = summary.counts
    click.echo(
        f"{summary.status.replace('_', ' ')}: {counts['patients']} patients, "
        f"{counts['scans_ok']} of {counts['scans']} scans, in {summary.folder}"
    )
    for failure in summary.failures:
        click.echo(f"failed: {failure.kind} {failure.subject}: {failure.message}")
    for name, reason in summary.absent.items():
        click.echo(f"no comparison {name}: {reason}")
