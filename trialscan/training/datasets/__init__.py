"""Immutable, content-addressed versions of annotated scans: taken, kept, compared, cloned, revised and checked."""

from trialscan.training.datasets.cloning import Clone, clone_snapshot
from trialscan.training.datasets.comparison import Difference, compare, lineage
from trialscan.training.datasets.describing import describe_folder
from trialscan.training.datasets.description import Description, read_description
from trialscan.training.datasets.keeping import Kept
from trialscan.training.datasets.revising import Revision, revise_snapshot
from trialscan.training.datasets.snapshot import AnnotatedCase, CaseMask, Snapshot, SnapshotFile
from trialscan.training.datasets.store import DatasetStore, Record
from trialscan.training.datasets.taking import Taken, take_snapshot

__all__ = [
    "AnnotatedCase",
    "CaseMask",
    "Clone",
    "DatasetStore",
    "Description",
    "Difference",
    "Kept",
    "Record",
    "Revision",
    "Snapshot",
    "SnapshotFile",
    "Taken",
    "clone_snapshot",
    "compare",
    "describe_folder",
    "lineage",
    "read_description",
    "revise_snapshot",
    "take_snapshot",
]
