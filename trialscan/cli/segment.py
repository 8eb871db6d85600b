"""`trialscan segment SCAN --protocol P --out DIR`."""

import json
from pathlib import Path
from typing import Any

import click

from trialscan.cli import options
from trialscan.pipeline.one_scan import segment_file

_FILE = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("scan", type=_FILE)
@click.option("--protocol", required=True, help="A protocol file, or the name of a shipped one.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where masks are written.")
@click.option("--organ-mask", type=_FILE, help="A reader's organ mask, used instead of the model's.")
@click.option("--lesion-mask", type=_FILE, help="A reader's lesion mask, used instead of the model's.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@options.trust_bundle
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def segment(
    scan: Path,
    protocol: str,
    out: Path,
    organ_mask: Path | None,
    lesion_mask: Path | None,
    device: str,
    trust_bundle: bool,
    as_json: bool,
) -> None:
    """Outline organ and lesions of one scan on its own grid."""
    result = segment_file(
        scan,
        protocol,
        out,
        organ_mask=organ_mask,
        lesion_mask=lesion_mask,
        device=device,
        trust_bundle=trust_bundle,
    )
    from trialscan.segmentation import describe  # noqa: PLC0415 - loaded while the scan is read

    facts = describe(result)
    click.echo(json.dumps(facts, indent=2) if as_json else _text(facts))


def _text(facts: dict[str, Any]) -> str:
    amounts = {"organ": facts["organ"]} | facts["classes"]
    lines = [
        f"{name}: " + ", ".join(f"{unit} {number:.6g}" for unit, number in amount.items())
        for name, amount in amounts.items()
        if amount is not None
    ]
    return "\n".join([*lines, f"flags: {', '.join(facts['flags']) or 'none'}"])
