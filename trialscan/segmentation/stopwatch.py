"""How long each stage of a segmentation takes. Times are told beside a result, never in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds by stage, in the order of their first start."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time until the block's end; a GPU is waited for, so that its work is not counted later."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self._device is not None and self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
