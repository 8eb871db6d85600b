"""`trialscan evaluate PREDICTED REFERENCE [--out F.csv]`."""

import json
from pathlib import Path

import click
import pandas as pd

from trialscan.segmentation.evaluation import Row
from trialscan.segmentation.evaluation import evaluate as compare

_PATH = click.Path(exists=True, path_type=Path)
_SHOWN = ("dice", "surface_dice_2mm", "hd95_mm", "predicted_ml", "reference_ml", "difference_percent")


@click.command()
@click.argument("predicted", type=_PATH)
@click.argument("reference", type=_PATH)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write every measure as CSV.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def evaluate(predicted: Path, reference: Path, out: Path | None, as_json: bool) -> None:
    """Compare a mask with a reference, or a folder of masks with a folder of references by name."""
    rows = compare(predicted, reference)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(out, index=False, lineterminator="\n")
    if as_json:
        click.echo(json.dumps({"rows": rows}, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']} label {row['label']}: " + ", ".join(_measures(row)))


def _measures(row: Row) -> list[str]:
    return [f"{name} {value:.4g}" for name in _SHOWN if isinstance(value := row[name], float)]
