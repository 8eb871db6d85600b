"""Where tasks run: long-lived worker processes that are rebuilt when one dies.

Anything with the interface of `concurrent.futures.Executor` serves. Here one worker is one process with one compute
thread, so that results do not depend on how many there are.
"""

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ParamSpec, TypeVar

from trialscan.errors import ScanError

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS = 2
_SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}


class LaneExecutor(Executor):
    """A fixed number of lanes, each one long-lived process.

    A worker that is killed (out of memory, say) costs only its own task, which is tried once more in a fresh process;
    the other lanes go on.
    """

    def __init__(self, lanes: int) -> None:
        self._free: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
        for _ in range(lanes):
            self._free.put(_new_lane())
        self._threads = ThreadPoolExecutor(lanes)
        self._lanes = lanes

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in the next free lane; its result, or ScanError when its process died twice."""
        return self._threads.submit(self._call, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all lanes."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        while not self._free.empty():
            self._free.get().shutdown(wait=wait, cancel_futures=cancel_futures)

    def _call(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:  # noqa: ANN401 - passes on what submit got
        lane = self._free.get()
        try:
            for _ in range(_ATTEMPTS):
                try:
                    return lane.submit(fn, *args, **kwargs).result()
                except BrokenProcessPool:
                    lane.shutdown(wait=False)
                    lane = _new_lane()
        finally:
            self._free.put(lane)
        raise ScanError(
            "worker", f"the process died {_ATTEMPTS} times on this task", "", "Is there enough memory for this scan?"
        )


def _new_lane() -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_prepare_worker, initargs=(os.getpid(),))


def _prepare_worker(parent: int) -> None:
    """One compute thread, no reaction to Ctrl-C (the parent decides), and an end when the parent is gone."""
    import signal  # noqa: PLC0415 - a worker imports as little as it can before its environment is set

    os.environ.update(_SINGLE_THREAD)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
