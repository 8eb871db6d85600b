"""Paths that a manifest names, held inside the manifest's folder."""

import os
from pathlib import Path


class PathError(ValueError):
    """A path that a manifest may not name; the text says why."""


def inside(folder: Path, text: str) -> Path:
    """The absolute path of the existing file or folder that `text` names, relative to `folder`.

    It lies inside `folder` both as written and after every symbolic link is followed; PathError is raised otherwise.
    """
    root = Path(os.path.normpath(folder.absolute()))
    path = Path(os.path.normpath(root / text))
    if not path.is_relative_to(root):
        raise PathError(f"'{text}' leaves the manifest's folder; keep data beside or below the manifest")
    try:
        resolved = path.resolve(strict=True)
    except FileNotFoundError:
        raise PathError(f"'{text}' does not exist") from None
    except (OSError, RuntimeError, ValueError) as problem:
        raise PathError(f"{text!r} cannot be followed: {getattr(problem, 'strerror', None) or problem}") from None
    if not resolved.is_relative_to(root.resolve()):
        raise PathError(f"'{text}' leaves the manifest's folder through a symbolic link")
    return path
