"""SHA256SUMS: a list that `sha256sum -c --strict` checks without this software."""

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
    target = run / SUMS
    lines = [f"{digest_file(run / name)}  {name}\n" for name in recorded_files(run)]
    target.write_text("".join(lines), encoding="utf-8")
    return target


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
