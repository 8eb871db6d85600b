"""What a run would do, without doing it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trialscan.pipeline.store import Store
from trialscan.pipeline.tasks import Outcome, Task, resolve_inputs, task_key


@dataclass(frozen=True)
class Preview:
    """Tasks by kind, and how many of each are stored already. A task behind one to be computed counts as to be done."""

    planned: Mapping[str, int]
    stored: Mapping[str, int]

    @property
    def to_do(self) -> int:
        """Tasks to be computed."""
        return sum(self.planned.values()) - sum(self.stored.values())


def preview(tasks: Sequence[Task], run: Path) -> Preview:
    """Walk the plan as far as the store knows the results."""
    store = Store(run)
    known: dict[str, Outcome] = {}
    stored: Counter[str] = Counter()
    for task in tasks:
        if not all(need in known for need in task.needs):
            continue
        inputs = resolve_inputs(task, known)
        outcome = store.look(task_key(task, inputs), inputs)
        if outcome is not None:
            known[task.id] = outcome
            stored[task.kind] += 1
    return Preview(Counter(task.kind for task in tasks), stored)
