"""Where tasks run: long-lived worker processes that are rebuilt when one dies.

Anything with the interface of `concurrent.futures.Executor` serves. Here one worker is one process with one compute
thread, so that results do not depend on how many there are.
"""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

from trialscan.errors import ScanError, UsageError
from trialscan.pipeline.tasks import Resource

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS = 2
_SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}


@contextmanager
def executors_for(
    kind: str, device: str, jobs: int, scheduler: str | None = None
) -> Iterator[Mapping[Resource, Executor]]:
    """The executors of a run: lanes on this machine, one a GPU beside the CPU's, or a Dask cluster's."""
    with ExitStack() as stack:
        if scheduler is not None:
            cluster = stack.enter_context(_dask_executor(scheduler))
            yield {"cpu": cluster, "gpu": cluster}
            return
        cpu = stack.enter_context(LaneExecutor([{}] * max(1, jobs)))
        gpu = stack.enter_context(LaneExecutor(_gpu_environments(device))) if kind == "cuda" else cpu
        yield {"cpu": cpu, "gpu": gpu}


class LaneExecutor(Executor):
    """One lane for each environment given, each one long-lived process that starts with it.

    A worker that is killed (out of memory, say) costs only its own task, which is tried once more in a fresh process;
    the other lanes go on.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._free: queue.SimpleQueue[_Lane] = queue.SimpleQueue()
        for environment in environments:
            self._free.put(_Lane(environment))
        self._threads = ThreadPoolExecutor(len(environments))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in the next free lane; its result, or ScanError when its process died twice."""
        return self._threads.submit(self._call, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all lanes."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        while not self._free.empty():
            self._free.get().end()

    def _call(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:  # noqa: ANN401 - passes on what submit got
        lane = self._free.get()
        try:
            for _ in range(_ATTEMPTS):
                try:
                    return lane.run(fn, *args, **kwargs)
                except BrokenProcessPool:
                    lane.rebuild()
        finally:
            self._free.put(lane)
        raise ScanError(
            "worker", f"the process died {_ATTEMPTS} times on this task", "", "Is there enough memory for this scan?"
        )


class _Lane:
    """One process, started at its first task with one compute thread and its own environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**_SINGLE_THREAD, **environment}
        self._pool = self._new_pool()

    def run(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:  # noqa: ANN401 - passes on what submit got
        return self._pool.submit(fn, *args, **kwargs).result()

    def rebuild(self) -> None:
        self.end()
        self._pool = self._new_pool()

    def end(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(
            1, mp_context=context, initializer=_prepare_worker, initargs=(os.getpid(), self._environment)
        )


def _prepare_worker(parent: int, environment: Mapping[str, str]) -> None:
    """Set the environment before any library reads it, leave Ctrl-C to the parent, and end when the parent is gone."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _gpu_environments(device: str) -> list[dict[str, str]]:
    """One lane a GPU; `cuda:N` asks for that one only."""
    _, _, number = device.partition(":")
    if number:
        return [{"CUDA_VISIBLE_DEVICES": number}]
    import torch  # noqa: PLC0415 - slow to load, and only needed to count GPUs

    return [{"CUDA_VISIBLE_DEVICES": str(index)} for index in range(max(1, torch.cuda.device_count()))]


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise UsageError(
            "--scheduler", "the package 'distributed' is not installed", "", "pip install trialscan[dask]"
        ) from error
    try:
        client = Client(address, timeout=30)
    except (OSError, ValueError) as error:
        raise UsageError("--scheduler", f"{address}: {error}", "the address of a Dask scheduler") from error
    with client:
        yield client.get_executor(pure=False)
