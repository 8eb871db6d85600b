"""Proof of how a number came to be: digests, a hash-chained ledger, and their verification. Knows only files."""

from trialscan.audit.digests import canonical_json, digest_bytes, digest_file, digest_json, digest_source
from trialscan.audit.ledger import Ledger, LedgerEntry, read_ledger
from trialscan.audit.sums import read_sums, recorded_files, update_sums, write_sums
from trialscan.audit.timeline import TimelineEntry, append_timeline, read_timeline
from trialscan.audit.verify import Finding, verify_run

__all__ = [
    "Finding",
    "Ledger",
    "LedgerEntry",
    "TimelineEntry",
    "append_timeline",
    "canonical_json",
    "digest_bytes",
    "digest_file",
    "digest_json",
    "digest_source",
    "read_ledger",
    "read_sums",
    "read_timeline",
    "recorded_files",
    "update_sums",
    "verify_run",
    "write_sums",
]
