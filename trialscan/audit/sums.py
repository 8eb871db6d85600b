"""SHA256SUMS: a list that `sha256sum -c --strict` checks without this software."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from trialscan.audit.digests import digest_file
from trialscan.errors import VerificationError

SUMS = "SHA256SUMS"
STORE = ".store"


def recorded_files(run: Path) -> list[str]:
    """The files that make up a run's record, as sorted POSIX paths: all but the store and the list itself."""
    return sorted(
        path.relative_to(run).as_posix()
        for path in run.rglob("*")
        if path.is_file() and path.relative_to(run).parts[0] != STORE and path != run / SUMS
    )


def write_sums(run: Path) -> Path:
    """Write the digest of every file of the record."""
    return _write(run, {name: digest_file(run / name) for name in recorded_files(run)})


def update_sums(run: Path, names: Iterable[str]) -> Path:
    """Renew the digests of these files only; raises VerificationError when there is no list."""
    return _write(run, read_sums(run) | {name: digest_file(run / name) for name in names})


def read_sums(run: Path) -> dict[str, str]:
    """Digest by path, as the list says.

    Raises
    ------
    VerificationError
        There is no list, or a line of it cannot be read.
    """
    source = run / SUMS
    if not source.is_file():
        raise VerificationError(
            str(run), f"no {SUMS}", "a finished run", "Finish the run; an interrupted one has no list."
        )
    sums: dict[str, str] = {}
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        digest, separator, name = line.partition("  ")
        if separator != "  " or len(digest) != 64 or not name:
            raise VerificationError(f"{SUMS}:{number}", repr(line[:80]), "'<sha256>  <path>'")
        sums[name] = digest
    return sums


def _write(run: Path, sums: Mapping[str, str]) -> Path:
    target = run / SUMS
    target.write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)), encoding="utf-8")
    return target
