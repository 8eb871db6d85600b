"""Options that several commands share."""

from pathlib import Path

import click

trust_bundle = click.option(
    "--trust-bundle", is_flag=True, help="Let the model that the protocol pins by bundle_sha256 run its code."
)

metric = click.option(
    "--metric",
    type=click.Choice(["dice", "surface_dice_2mm", "hd95_mm"]),
    default="dice",
    show_default=True,
    help="What is compared.",
)
store = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="The store of snapshots; else TRIALSCAN_DATASETS, or the folder 'datasets'.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
