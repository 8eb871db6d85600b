"""`trialscan evaluate PREDICTED REFERENCE [--probabilities P] [--out F.csv|DIR]`."""

import json
from pathlib import Path
from typing import Any

import click
import pandas as pd

from trialscan.cli.progress import Steps
from trialscan.pipeline.evaluation import evaluation_facts, write_evaluation
from trialscan.segmentation.evaluation import Criteria, Evaluation
from trialscan.segmentation.evaluation import evaluate as compare

_PATH = click.Path(exists=True, path_type=Path)
_SHOWN = (
    *("dice", "surface_dice_2mm", "hd95_mm", "mean_surface_distance_mm", "predicted_ml", "reference_ml"),
    *("difference_percent", "lesion_precision", "lesion_recall", "lesion_f1", "false_lesions"),
    *("expected_calibration_error", "brier_score"),
)
_INCOMPLETE = 4


@click.command()
@click.argument("predicted", type=_PATH)
@click.argument("reference", type=_PATH)
@click.option("--probabilities", type=_PATH, help="Predicted probabilities of any label: a file or folder likewise.")
@click.option(
    "--bands",
    default=",".join(f"{end:g}" for end in Criteria().bands_ml),
    show_default=True,
    help="Where size bands of lesions begin, ml.",
)
@click.option(
    "--lesion-overlap",
    type=float,
    default=Criteria().least_overlap,
    show_default=True,
    help="Share of a lesion that must be exceeded to count as found; 0: any common voxel.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="F.csv: a row a scan. Anything else: a folder with it all."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def evaluate(
    predicted: Path,
    reference: Path,
    probabilities: Path | None,
    bands: str,
    lesion_overlap: float,
    out: Path | None,
    as_json: bool,
) -> int:
    """Compare a mask with a reference, or a folder of masks with a folder of references by name."""
    criteria = Criteria(_ends(bands), lesion_overlap)
    with Steps("comparing") as steps:
        found = compare(predicted, reference, probabilities=probabilities, criteria=criteria, watch=steps.reach)
    if out is not None:
        write_evaluation(found, out)
    click.echo(json.dumps(evaluation_facts(found), indent=2) if as_json else _text(found))
    return _INCOMPLETE if found.failed else 0


def _ends(bands: str) -> tuple[float, ...]:
    try:
        return tuple(float(end) for end in bands.split(",") if end.strip())
    except ValueError as error:
        raise click.BadParameter(
            f"{bands}: volumes in ml separated by commas expected", param_hint="--bands"
        ) from error


def _text(found: Evaluation) -> str:
    rows: list[dict[Any, Any]] = found.scans.to_dict(orient="records")
    lines = [f"{row['name']} label {row['label']}: " + _measures(row) for row in rows]
    if len(found.agreement):
        lines += ["", _table(found.summary[found.summary["subset"] == "all"], drop=["subset"])]
        lines += ["", _table(found.agreement)]
    if len(rows) > 1 and len(found.detection):
        shown = ["label", "scope", "from_ml", "below_ml", "reference_lesions", "predicted_lesions", "false_lesions"]
        lines += ["", _table(found.detection[[*shown, "precision", "recall", "f1", "false_per_scan", "mean_dice"]])]
    lines += [f"{name} over all scans: {value:.4g}" for name, value in found.calibration.items() if len(rows) > 1]
    return "\n".join(lines)


def _measures(row: dict[Any, Any]) -> str:
    if row["status"] == "failed":
        return f"failed: {row['message']}"
    known = {name: row[name] for name in _SHOWN if name in row and not pd.isna(row[name])}
    return ", ".join(f"{name} {float(value):.4g}" for name, value in known.items())


def _table(table: pd.DataFrame, drop: list[str] | None = None) -> str:
    shown = table.drop(columns=drop or [])
    return shown.to_string(index=False, na_rep="–", float_format=lambda value: f"{value:.4g}")
