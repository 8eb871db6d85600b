"""What `trialscan evaluate` leaves: a CSV of scans, or a folder with every table, a JSON file and a figure."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from trialscan.errors import UsageError
from trialscan.pipeline.tables import write_table
from trialscan.reports.drawing import Picture
from trialscan.reports.figure_evaluation import evaluation_picture
from trialscan.segmentation.evaluation import Evaluation

STEM, RELIABILITY = "evaluation", "reliability"


def write_evaluation(found: Evaluation, out: Path) -> list[Path]:
    """Write the table of scans to `out` if it ends in `.csv`, else everything to the folder `out`.

    The folder gets each table as CSV and Parquet, evaluation.json (all tables, and the criteria), and evaluation.svg
    with the numbers drawn as evaluation.csv. What an earlier evaluation left there and this one lacks is removed.

    Raises
    ------
    UsageError
        `out` is a file that does not end in `.csv`.
    """
    if out.suffix.lower() == ".csv" and not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        found.scans.to_csv(out, index=False, lineterminator="\n")
        return [out]
    if out.is_file():
        raise UsageError("--out", f"the file {out.name}", "a name ending in .csv, or a folder")
    out.mkdir(parents=True, exist_ok=True)
    picture = evaluation_picture(found.scans, found.lesions, found.agreement, found.reliability)
    written = [path for name, table in found.tables().items() for path in write_table(table, out / name)]
    if isinstance(picture, Picture):
        written += [out / f"{STEM}.svg", out / f"{STEM}.csv"]
        (out / f"{STEM}.svg").write_text(picture.svg, encoding="utf-8")
        picture.table.to_csv(out / f"{STEM}.csv", index=False, lineterminator="\n")
    written.append(out / f"{STEM}.json")
    written[-1].write_text(json.dumps(evaluation_facts(found), indent=2) + "\n", encoding="utf-8")
    mine = [out / f"{RELIABILITY}.csv", out / f"{RELIABILITY}.parquet", out / f"{STEM}.svg", out / f"{STEM}.csv"]
    for path in set(mine) - set(written):
        path.unlink(missing_ok=True)
    return written


def evaluation_facts(found: Evaluation) -> dict[str, Any]:
    """Everything as values that JSON holds: the tables' rows by name, the pooled calibration, and the criteria."""
    criteria = {"bands_ml": list(found.criteria.bands_ml), "least_overlap": found.criteria.least_overlap}
    tables: dict[str, Any] = {name: _records(table) for name, table in found.tables().items()}
    return tables | {"calibration": dict(found.calibration), "criteria": criteria}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in table.astype(object).to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a table holds
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value
