"""Reading a UTF-8 text file that a person wrote."""

from pathlib import Path

from trialscan.errors import Fault, InputError


def read_text(path: Path, error: type[InputError]) -> str:
    """The text of a UTF-8 file, without its byte order mark and with its line ends; raises `error` where it is none."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        reason = "no such file" if isinstance(problem, FileNotFoundError) else f"cannot be read ({problem.strerror})"
        raise error([Fault(path.name or str(path), reason)]) from problem
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        message = f"byte 0x{problem.object[problem.start]:02x} is not UTF-8 text; save the file in the encoding UTF-8"
        raise error([Fault(f"{path.name}:{line}", message)]) from problem
