"""`trialscan segment SCAN --protocol P --out DIR`."""

import json
from pathlib import Path

import click

from trialscan.errors import SegmentationError
from trialscan.imaging import Units, Volume, read_mask, read_volume, write_volume
from trialscan.segmentation import Segmentation, load_bundle, segment_scan
from trialscan.study import Protocol, find_protocol, load_protocol, resolve_model

_FILE = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("scan", type=_FILE)
@click.option("--protocol", required=True, help="A protocol file, or the name of a shipped one.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where masks are written.")
@click.option("--organ-mask", type=_FILE, help="A reader's organ mask, used instead of the model's.")
@click.option("--lesion-mask", type=_FILE, help="A reader's lesion mask, used instead of the model's.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def segment(
    scan: Path,
    protocol: str,
    out: Path,
    organ_mask: Path | None,
    lesion_mask: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Outline organ and lesions of one scan on its own grid."""
    loaded = load_protocol(protocol)
    settings = loaded.segmentation
    volume = read_volume(scan, Units(settings.units))
    needs_model = organ_mask is None or lesion_mask is None
    result = segment_scan(
        volume,
        settings=settings,
        segmenter=load_bundle(_bundle(loaded, protocol), device, settings.weights_sha256)
        if needs_model and settings.model
        else None,
        organ_mask=read_mask(organ_mask, like=volume) if organ_mask else None,
        lesion_mask=read_mask(lesion_mask, like=volume) if lesion_mask else None,
    )
    summary = _write(result, out)
    click.echo(json.dumps(summary, indent=2) if as_json else _text(summary))


def _bundle(protocol: Protocol, source: str) -> Path:
    bundle = resolve_model(protocol, find_protocol(source))
    if bundle is None:
        raise SegmentationError(source, "no model", "segmentation.model", "Name one, or give both masks.")
    return bundle


def _write(result: Segmentation, out: Path) -> dict[str, object]:
    """Write masks and `quality.json`; returns what was measured."""
    out.mkdir(parents=True, exist_ok=True)
    write_volume(out / "lesions.nii.gz", result.lesions)
    if result.organ is not None:
        write_volume(out / "organ.nii.gz", result.organ)
    classes = {name: _amount(result.lesions, label) for label, name in sorted(result.class_names.items())}
    summary: dict[str, object] = {
        "organ": None if result.organ is None else _amount(result.organ, None),
        "classes": classes,
        "organ_source": result.organ_source,
        "lesion_source": result.lesion_source,
        "model": None if result.model is None else result.model.name,
        "model_sha256": None if result.model is None else result.model.sha256,
        "quality": dict(result.quality),
        "flags": list(result.flags),
    }
    (out / "quality.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _amount(mask: Volume, label: int | None) -> dict[str, float | int]:
    """Voxels of a label (any positive for None), with millilitres where the scan has them."""
    voxels = int((mask.array > 0).sum() if label is None else (mask.array == label).sum())
    if mask.is_planar or not mask.spacing_known:
        return {"pixels": voxels}
    return {"voxels": voxels, "volume_ml": voxels * mask.voxel_ml}


def _text(summary: dict[str, object]) -> str:
    amounts = {"organ": summary["organ"]}
    if isinstance(summary["classes"], dict):
        amounts |= summary["classes"]
    lines = [
        f"{name}: " + ", ".join(f"{unit} {number:.6g}" for unit, number in amount.items())
        for name, amount in amounts.items()
        if isinstance(amount, dict)
    ]
    flags = summary["flags"]
    return "\n".join([*lines, f"flags: {', '.join(flags) if isinstance(flags, list) and flags else 'none'}"])
