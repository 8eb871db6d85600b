"""Tables of points: baseline positions in, follow-up positions added."""

from pathlib import Path

import numpy as np
import pandas as pd

from trialscan.errors import RegistrationError, UsageError
from trialscan.registration.alignment import Alignment

COLUMN_SETS = (("x", "y", "z"), ("x_mm", "y_mm", "z_mm"), ("baseline_x", "baseline_y", "baseline_z"))
RESULT_COLUMNS = ["followup_x", "followup_y", "followup_z"]


def read_points(path: Path) -> tuple[pd.DataFrame, tuple[str, str, str]]:
    """A CSV with every cell as text, and the names of its three columns of baseline LPS mm.

    Raises
    ------
    UsageError
        The file cannot be read as CSV, or has not exactly one of the sets of columns.
    RegistrationError
        A coordinate is no finite number; names the line.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UsageError(path.name, "not readable as CSV", "a table with a header line") from error
    sets = [names for names in COLUMN_SETS if set(names) <= set(table.columns)]
    if len(sets) != 1:
        expected = " or ".join(",".join(names) for names in COLUMN_SETS)
        raise UsageError(path.name, f"columns {','.join(table.columns)}", f"one of {expected}")
    for name in sets[0]:
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if wrong.size:
            raise RegistrationError(
                f"{path.name}:{int(wrong[0]) + 2}: {name}", repr(table[name].iloc[int(wrong[0])]), "a number in mm"
            )
    return table, sets[0]


def map_table(table: pd.DataFrame, names: tuple[str, str, str], alignment: Alignment) -> pd.DataFrame:
    """The table with the columns followup_x, followup_y, followup_z (LPS mm) added or replaced."""
    mapped = alignment.to_followup(table[list(names)].to_numpy(dtype=np.float64))
    columns = {name: [repr(float(v)) for v in mapped[:, c]] for c, name in enumerate(RESULT_COLUMNS)}
    return table.assign(**columns)
