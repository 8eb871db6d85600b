"""Immutable, content-addressed versions of annotated scans: taken, kept, compared, cloned and checked."""

from trialscan.training.datasets.keeping import Kept
from trialscan.training.datasets.snapshot import AnnotatedCase, CaseMask, Snapshot, SnapshotFile
from trialscan.training.datasets.store import DatasetStore, Record

__all__ = ["AnnotatedCase", "CaseMask", "DatasetStore", "Kept", "Record", "Snapshot", "SnapshotFile"]
