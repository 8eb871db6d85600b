"""The content-addressed store: what was computed once is not computed again.

Objects lie under the sha256 of their bytes, results under the key of their task. Every write goes to a temporary name
and is moved into place, so that a killed process leaves nothing half written; every read is checked against its
digest, so that a damaged object is computed anew instead of being believed.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trialscan.audit import canonical_json, digest_file
from trialscan.pipeline.tasks import Outcome, Ran


class Store:
    """The store of one run folder, at `<run>/.store`."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._objects = run / ".store" / "objects"
        self._results = run / ".store" / "results"
        self._partial = run / ".store" / "partial"

    def keep(self, names: Sequence[str]) -> dict[str, str]:
        """Copy files of the run folder into the store; returns their digests by relative path."""
        digests = {}
        for name in sorted(names):
            digest = digest_file(self._run / name)
            target = self._object(digest)
            if not target.exists():
                self._place(self._run / name, target)
            digests[name] = digest
        return digests

    def record(self, outcome: Outcome) -> None:
        """Remember a successful outcome under its key."""
        body = {"outputs": dict(outcome.outputs), "ran": asdict(outcome.ran) if outcome.ran else None}
        self._place(canonical_json(body).encode("utf-8"), self._results / f"{outcome.key}.json")

    def look(self, key: str, inputs: dict[str, str]) -> Outcome | None:
        """The outcome stored under a key, or None; its files are not looked at."""
        source = self._results / f"{key}.json"
        if not source.is_file():
            return None
        body = json.loads(source.read_text(encoding="utf-8"))
        ran = Ran(**body["ran"]) if body["ran"] else None
        return Outcome("ok", key, inputs, outputs=body["outputs"], ran=ran, cached=True)

    def recall(self, key: str, inputs: dict[str, str]) -> Outcome | None:
        """The outcome stored under a key, its files put back into the run folder; None when it must be computed."""
        outcome = self.look(key, inputs)
        if outcome is None or not all(self._restore(name, digest) for name, digest in outcome.outputs.items()):
            return None
        return outcome

    def _restore(self, name: str, digest: str) -> bool:
        target = self._run / name
        if target.is_file() and digest_file(target) == digest:
            return True
        source = self._object(digest)
        if not source.is_file():
            return False
        if digest_file(source) != digest:
            source.unlink()
            return False
        self._place(source, target)
        return True

    def _object(self, digest: str) -> Path:
        return self._objects / digest[:2] / digest

    def _place(self, content: bytes | Path, target: Path) -> None:
        """Write bytes, or a copy of a file, so that the target is either whole or absent."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._partial.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._partial, delete=False) as stream:
            if isinstance(content, bytes):
                stream.write(content)
            else:
                with content.open("rb") as reader:
                    shutil.copyfileobj(reader, stream)
        partial = Path(stream.name)
        partial.chmod(0o644)
        partial.replace(target)
