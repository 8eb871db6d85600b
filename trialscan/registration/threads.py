"""One ITK thread where the number of threads would change the result."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def one_itk_thread() -> Iterator[None]:
    """Hold ITK's default number of threads at one, and restore it.

    Registration metrics add up their voxels in one part per thread of that default, whatever the method's own setting
    says (SimpleITK's manual, "Registration Overview", Reproducibility). The lock keeps threads of this process from
    restoring it under each other.
    """
    with _ONE_AT_A_TIME:
        before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
