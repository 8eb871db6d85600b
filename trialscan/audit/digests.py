"""sha256 digests of bytes, files, scans and JSON values."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path


def digest_bytes(content: bytes) -> str:
    """sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file's content, read in pieces; raises OSError when it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_source(files: Iterable[Path]) -> str:
    """One digest for a scan of one or many files.

    One file: its own sha256. Several (a DICOM folder): sha256 over the sorted digests of the contents, so that names
    and order do not matter but a lost, changed or added file does.
    """
    digests = sorted(digest_file(path) for path in files)
    if len(digests) == 1:
        return digests[0]
    return digest_bytes("\n".join(digests).encode("ascii"))


def canonical_json(value: object) -> str:
    """JSON text that depends on the value alone: sorted keys, no spaces; raises ValueError for NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_json(value: object) -> str:
    """sha256 of a JSON value's canonical text."""
    return digest_bytes(canonical_json(value).encode("utf-8"))
