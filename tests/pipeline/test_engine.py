"""The engine computes what is missing, recalls the rest, and survives failures and killed workers."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import pytest

from trialscan.errors import ImagingError
from trialscan.pipeline.engine import execute
from trialscan.pipeline.executors import LaneExecutor
from trialscan.pipeline.preview import preview
from trialscan.pipeline.tasks import Task


def write_text(run: Path, text: str, failures: Mapping[str, str]) -> Sequence[str]:
    name = text.split(maxsplit=1)[0]
    (run / "log").mkdir(exist_ok=True)
    (run / "log" / f"{name}-{time.monotonic_ns()}").touch()
    (run / name).write_text(text + "".join(f" [{need}: {why}]" for need, why in sorted(failures.items())))
    return [name]


def refuse(run: Path, text: str, failures: Mapping[str, str]) -> Sequence[str]:
    raise ImagingError(f"{run}/{text}", "cannot be read")


def stumble(run: Path, text: str, failures: Mapping[str, str]) -> Sequence[str]:
    return [str(1 / 0)]


def die_once(run: Path, text: str, failures: Mapping[str, str]) -> Sequence[str]:
    marker = run / "died"
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return write_text(run, text, failures)


def die(run: Path, text: str, failures: Mapping[str, str]) -> Sequence[str]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def _task(name: str, work=write_text, text: str | None = None, **more) -> Task:
    content = text or name
    return Task("make", name, 1, work, content, parameters={"text": content}, **more)


@pytest.fixture(scope="module")
def lanes() -> Iterator[Mapping[str, Executor]]:
    with LaneExecutor([{}, {}]) as executor:
        yield {"cpu": executor, "gpu": executor}


def _computed(run: Path, name: str) -> int:
    return len(list((run / "log").glob(f"{name}-*")))


def test_a_second_run_computes_nothing_and_gives_the_same_files(tmp_path: Path, lanes):
    plan = [_task("a"), _task("b", needs=("make a",))]
    first = execute(plan, tmp_path, lanes)
    second = execute(plan, tmp_path, lanes)
    assert {key: outcome.outputs for key, outcome in first.items()} == {k: o.outputs for k, o in second.items()}
    assert all(outcome.cached for outcome in second.values())
    assert _computed(tmp_path, "a") == _computed(tmp_path, "b") == 1


def test_a_change_recomputes_only_what_it_touches(tmp_path: Path, lanes):
    chain = [_task("a"), _task("b", needs=("make a",)), _task("c")]
    execute(chain, tmp_path, lanes)
    execute([_task("a", text="a changed"), *chain[1:]], tmp_path, lanes)
    assert (_computed(tmp_path, "a"), _computed(tmp_path, "b"), _computed(tmp_path, "c")) == (2, 2, 1)


def test_going_back_to_an_earlier_protocol_computes_nothing(tmp_path: Path, lanes):
    old, new = [_task("a", text="a old")], [_task("a", text="a new")]
    execute(old, tmp_path, lanes)
    execute(new, tmp_path, lanes)
    execute(old, tmp_path, lanes)
    assert (tmp_path / "a").read_text() == "a old"
    assert _computed(tmp_path, "a") == 2


def test_a_new_version_of_an_algorithm_recomputes(tmp_path: Path, lanes):
    execute([_task("a")], tmp_path, lanes)
    execute([replace(_task("a"), version=2)], tmp_path, lanes)
    assert _computed(tmp_path, "a") == 2


def test_a_damaged_result_is_restored_and_a_damaged_store_is_not_believed(tmp_path: Path, lanes):
    plan = [_task("a")]
    digest = execute(plan, tmp_path, lanes)["make a"].outputs["a"]
    (tmp_path / "a").write_text("tampered")
    execute(plan, tmp_path, lanes)
    assert ((tmp_path / "a").read_text(), _computed(tmp_path, "a")) == ("a", 1)
    (tmp_path / ".store" / "objects" / digest[:2] / digest).write_text("tampered")
    (tmp_path / "a").unlink()
    execute(plan, tmp_path, lanes)
    assert ((tmp_path / "a").read_text(), _computed(tmp_path, "a")) == ("a", 2)


def test_a_failure_costs_only_what_depends_on_it(tmp_path: Path, lanes):
    plan = [
        _task("bad", refuse),
        _task("child", needs=("make bad",)),
        _task("summary", needs=("make bad", "make good"), tolerant=True),
        _task("good"),
    ]
    plan = [plan[0], plan[3], plan[1], plan[2]]
    outcomes = execute(plan, tmp_path, lanes, hide=(tmp_path,))
    assert [outcome.status for outcome in outcomes.values()] == ["failed", "ok", "skipped", "ok"]
    assert outcomes["make bad"].message == "bad: cannot be read"
    assert (tmp_path / "summary").read_text() == "summary [make bad: bad: cannot be read]"


def test_a_failure_is_tried_again_on_the_next_run(tmp_path: Path, lanes):
    assert execute([_task("a", refuse)], tmp_path, lanes)["make a"].status == "failed"
    assert execute([_task("a")], tmp_path, lanes)["make a"].status == "ok"


def test_a_defect_is_a_failed_task_marked_unexpected(tmp_path: Path, lanes):
    outcome = execute([_task("a", stumble)], tmp_path, lanes)["make a"]
    assert (outcome.status, outcome.unexpected) == ("failed", True)
    assert "ZeroDivisionError" in outcome.message


def test_a_killed_worker_is_replaced_and_its_task_retried(tmp_path: Path, lanes):
    plan = [_task("a", die_once), *(_task(f"n{index}") for index in range(4))]
    assert {outcome.status for outcome in execute(plan, tmp_path, lanes).values()} == {"ok"}


def test_a_task_that_always_kills_its_worker_fails_alone(tmp_path: Path, lanes):
    outcomes = execute([_task("a", die), _task("b")], tmp_path, lanes)
    assert [outcome.status for outcome in outcomes.values()] == ["failed", "ok"]
    assert "died" in outcomes["make a"].message


def test_keys_ignore_where_the_run_lies(tmp_path: Path, lanes):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    plan = [_task("a")]
    assert execute(plan, here, lanes)["make a"].key == execute(plan, there, lanes)["make a"].key


def test_a_preview_counts_what_is_stored_and_writes_nothing(tmp_path: Path, lanes):
    plan = [_task("a"), _task("b", needs=("make a",)), _task("c")]
    empty = preview(plan, tmp_path / "absent")
    assert (empty.to_do, dict(empty.stored)) == (3, {})
    assert not (tmp_path / "absent").exists()
    execute(plan[:2], tmp_path, lanes)
    assert preview(plan, tmp_path).to_do == 1
