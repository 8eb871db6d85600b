"""All cases of an experiment, prepared once and kept in memory by MONAI's CacheDataset."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from monai.data import CacheDataset
from monai.transforms import Compose, Transform

from trialscan.errors import Fault, InputError
from trialscan.training.datasets import AnnotatedCase, Snapshot
from trialscan.training.experiments.preparation import Preparation, PreparedCase, prepare_case

Paths = Callable[[str], Path]


class SnapshotStore(Protocol):
    """Where snapshots are kept."""

    def find(self, name_or_digest: str) -> Snapshot:
        """A snapshot by its name (the latest) or its digest."""
        ...

    def path_of(self, snapshot: Snapshot, path: str) -> Path:
        """Where a file of a snapshot can be read."""
        ...

    def check(self, snapshot: Snapshot) -> None:
        """InputError where a file is missing or changed."""
        ...


class _Prepare(Transform):  # type: ignore[misc]
    """`prepare_case` as a step of MONAI's; faults are returned, so that all are told at once."""

    def __init__(self, paths: Paths, preparation: Preparation) -> None:
        self._paths = paths
        self._preparation = preparation

    def __call__(self, item: dict[str, Any]) -> PreparedCase | tuple[Fault, ...]:
        case: AnnotatedCase = item["case"]
        files = {path: self._paths(path) for path in (*case.images, *(mask.path for mask in case.masks))}
        return prepare_case(case, files, self._preparation)


class CaseSet(Sequence[PreparedCase]):
    """Prepared cases in the snapshot's order, of which a share is kept in memory.

    Raises
    ------
    InputError
        Every case that cannot be learnt from, with the reason.
    """

    def __init__(
        self, cases: Sequence[AnnotatedCase], paths: Paths, preparation: Preparation, cache: float = 1.0
    ) -> None:
        self.preparation = preparation
        self._kept = CacheDataset(
            [{"case": case} for case in cases],
            transform=Compose([_Prepare(paths, preparation)]),
            cache_rate=cache,
            num_workers=None,
            progress=False,
        )
        found = [self._kept[index] for index in range(len(cases))]
        faults = [fault for entry in found if isinstance(entry, tuple) for fault in entry]
        if faults:
            raise InputError(faults)

    def __len__(self) -> int:
        """How many cases there are."""
        return len(self._kept)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - slices are not offered, but Sequence has them
        """The case at a position."""
        return self._kept[index]
