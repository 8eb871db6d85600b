"""The files of a visit's picture, and how they are read back."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trialscan.errors import ReportError

PICTURE, LESIONS, ORGAN, FACTS = "panel.png", "panel_lesions.png", "panel_organ.png", "panel.json"


@dataclass(frozen=True, eq=False)
class Panel:
    """One visit's picture as read from its folder; rows × columns, lesions hold classes 1…n."""

    grey: NDArray[np.uint8]
    lesions: NDArray[np.uint8] | None
    organ: NDArray[np.uint8] | None
    facts: dict[str, Any]


def read_panel(folder: Path) -> Panel | None:
    """The picture saved by `write_panels`, or None where the visit has none."""
    if not (folder / PICTURE).is_file():
        return None
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        grey = _read_rows(folder / PICTURE)
        masks = [_read_rows(folder / name) if (folder / name).is_file() else None for name in (LESIONS, ORGAN)]
    except (OSError, ValueError) as error:
        raise ReportError(
            str(folder), f"a picture that cannot be read ({error})", "the files that a run writes"
        ) from error
    return Panel(grey, masks[0], masks[1], facts)


def _read_rows(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))
