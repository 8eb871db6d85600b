"""Runs a plan: recalls what the store holds, computes the rest, and lets one failure cost only what depends on it."""

import platform
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from trialscan.errors import TrialscanError
from trialscan.pipeline.store import Store
from trialscan.pipeline.tasks import Outcome, Ran, Resource, Task, Written, resolve_inputs, task_key

Watch = Callable[[Task, Outcome], None]


def execute(
    plan: Sequence[Task],
    run: Path,
    executors: Mapping[Resource, Executor],
    *,
    hide: Sequence[Path] = (),
    watch: Watch | None = None,
) -> dict[str, Outcome]:
    """Carry out every task of a plan; returns each one's outcome by id, in the plan's order.

    `plan` lists a task after all that it needs. `hide` are folders whose paths are cut out of messages, since a
    message becomes part of a result. `watch` is told of every outcome as it comes.
    """
    return _Run(plan, run, executors, hide, watch or (lambda _task, _outcome: None)).finish()


class _Run:
    def __init__(
        self,
        plan: Sequence[Task],
        run: Path,
        executors: Mapping[Resource, Executor],
        hide: Sequence[Path],
        watch: Watch,
    ) -> None:
        self._plan = plan
        self._run = run
        self._executors = executors
        self._hide = tuple(f"{folder}/" for folder in hide)
        self._watch = watch
        self._store = Store(run)
        self._waiting = {task.id: task for task in plan}
        self._flying: dict[Future[Outcome], Task] = {}
        self._outcomes: dict[str, Outcome] = {}

    def finish(self) -> dict[str, Outcome]:
        """Loop until nothing waits and nothing flies."""
        try:
            while self._waiting or self._flying:
                while self._start_ready():
                    pass
                if self._flying:
                    done, _ = wait(self._flying, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._land(self._flying.pop(future), future)
        except BaseException:
            for future in self._flying:
                future.cancel()
            raise
        return {task.id: self._outcomes[task.id] for task in self._plan}

    def _start_ready(self) -> bool:
        """Start or settle every task whose predecessors have ended; True when that may have freed others."""
        ready = [
            task
            for task in self._waiting.values()
            if all(need in self._outcomes for need in (*task.needs, *task.after))
        ]
        settled = False
        for task in ready:
            del self._waiting[task.id]
            settled |= self._start(task)
        return settled

    def _start(self, task: Task) -> bool:
        inputs = resolve_inputs(task, self._outcomes)
        key = task_key(task, inputs)
        failures = {need: self._outcomes[need].message for need in task.needs if self._outcomes[need].status != "ok"}
        if failures and not task.tolerant:
            self._settle(task, Outcome("skipped", key, inputs, message=next(iter(failures.values()))))
            return True
        known = self._store.recall(key, inputs)
        if known is not None:
            self._settle(task, known)
            return True
        pending = Outcome("ok", key, inputs)
        self._flying[self._executors[task.resource].submit(perform, task, self._run, failures, pending)] = task
        return False

    def _land(self, task: Task, future: Future[Outcome]) -> None:
        try:
            outcome = future.result()
        except TrialscanError as error:
            inputs = resolve_inputs(task, self._outcomes)
            outcome = Outcome("failed", task_key(task, inputs), inputs, message=str(error))
        self._settle(task, outcome)

    def _settle(self, task: Task, outcome: Outcome) -> None:
        for folder in self._hide:
            outcome = replace(outcome, message=outcome.message.replace(folder, ""))
        self._outcomes[task.id] = outcome
        self._watch(task, outcome)


def perform(task: Task, run: Path, failures: Mapping[str, str], pending: Outcome) -> Outcome:
    """Do one task in a worker and keep its files.

    Whatever goes wrong becomes a failed outcome: an error raised on purpose by its message, any other with its type
    and place, marked unexpected.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    outcome, written = pending, Written(())
    try:
        answer = task.work(run, task.arguments, failures)
        written = answer if isinstance(answer, Written) else Written(answer)
        outcome = replace(pending, outputs=Store(run).keep(written.names))
    except TrialscanError as error:
        outcome = replace(pending, status="failed", message=str(error))
    except Exception as error:  # noqa: BLE001 - the boundary at which a defect becomes a row instead of a crash
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"unexpected {type(error).__name__}: {error} (at {place.name}, line {place.lineno})"
        outcome = replace(pending, status="failed", message=message, unexpected=True)
    ran = Ran(
        started=started.isoformat(timespec="milliseconds"),
        seconds=round(time.perf_counter() - clock, 3),
        host=platform.node(),
        device=written.device or task.resource,
        stages={name: round(seconds, 3) for name, seconds in written.seconds.items()},
    )
    outcome = replace(outcome, ran=ran)
    if outcome.status == "ok":
        Store(run).record(outcome)
    return outcome
