"""Names that become folders."""

import re

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def name_problem(text: str) -> str | None:
    """Why `text` cannot name a patient or a visit, or None where it can."""
    if not text:
        return "the cell is empty"
    if NAME.fullmatch(text) is None:
        return f"{text!r} cannot name a folder; expected at most 64 letters, digits, - and _"
    return None
