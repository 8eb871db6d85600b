"""Immutable, content-addressed versions of annotated scans: taken, kept, compared, cloned and checked."""

from trialscan.training.datasets.snapshot import AnnotatedCase, CaseMask, Snapshot, SnapshotFile

__all__ = ["AnnotatedCase", "CaseMask", "Snapshot", "SnapshotFile"]
