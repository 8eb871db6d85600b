"""Alignments as files that ANTs and Slicer read: an affine map (.tfm), its warp fields (.nii.gz), and a record.

`STEM.affine.tfm` and `STEM.warp.nii.gz` take baseline points to the follow-up (the field first, then the affine map);
`STEM.inverse_warp.nii.gz` after the inverse of the affine map takes them back. This is ANTs' own layout. The same maps
as one file each way, `STEM.tfm` and `STEM.inverse.tfm`, are ITK's composite in text: larger, and written on demand.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import RegistrationError
from trialscan.registration.alignment import Alignment, AlignmentStatus, Rung
from trialscan.registration.candidate import compose, compose_inverse

FORMAT = "trialscan alignment 1"
_PARTS = {"affine": "affine.tfm", "warp": "warp.nii.gz", "inverse_warp": "inverse_warp.nii.gz"}


def write_alignment(alignment: Alignment, folder: Path, stem: str = "to_baseline") -> None:
    """Write the record and the maps; the same alignment gives the same bytes. Creates `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = _parts(alignment)
    for name, suffix in _PARTS.items():
        path = folder / f"{stem}.{suffix}"
        part = parts.get(name)
        if part is None:
            path.unlink(missing_ok=True)
        elif isinstance(part, sitk.Image):
            sitk.WriteImage(sitk.Cast(part, sitk.sitkVectorFloat32), str(path), useCompression=True)
        else:
            sitk.WriteTransform(part, str(path))
    record = {
        "format": FORMAT,
        "status": alignment.status.value,
        "rung": alignment.rung,
        "engine": alignment.engine,
        "notes": list(alignment.notes),
        "quality": dict(alignment.quality),
        "rungs": [asdict(rung) for rung in alignment.rungs],
        "files": {name: f"{stem}.{_PARTS[name]}" for name in parts},
    }
    (folder / f"{stem}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def write_composites(alignment: Alignment, folder: Path, stem: str = "to_baseline") -> None:
    """Write each direction as one ITK composite: `STEM.tfm` baseline → follow-up, `STEM.inverse.tfm` back.

    Text, because ITK's .h5 embeds the operating system and the time, and would differ on a rerun.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, transform in (("tfm", alignment.transform), ("inverse.tfm", alignment.inverse)):
        sitk.WriteTransform(transform, str(folder / f"{stem}.{suffix}"))


def read_alignment(folder: Path, stem: str = "to_baseline") -> Alignment:
    """Read what `write_alignment` wrote.

    Raises
    ------
    RegistrationError
        The record or one of its files is missing or damaged.
    """
    path = folder / f"{stem}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise RegistrationError(path.name, f"format {record['format']!r}", repr(FORMAT))
        names = {part: folder / f"{stem}.{_PARTS[part]}" for part in record["files"]}
        affine = sitk.AffineTransform(sitk.ReadTransform(str(names["affine"])))
        fields = [_field(names.get(part)) for part in ("warp", "inverse_warp")]
        rungs = tuple(Rung(**rung) for rung in record["rungs"])
        return Alignment(
            AlignmentStatus(record["status"]), record["rung"], record["engine"], record["quality"], rungs,
            compose(affine, fields[0]), compose_inverse(affine, fields[1]), tuple(record["notes"]),
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise RegistrationError(
            path.name, f"unreadable ({type(error).__name__})", "an alignment as trialscan writes it", "Run it again."
        ) from error


def _parts(alignment: Alignment) -> dict[str, Any]:
    transform, inverse = alignment.transform, alignment.inverse
    parts = {"affine": transform.GetNthTransform(0).Downcast()}
    if transform.GetNumberOfTransforms() > 1:
        parts["warp"] = transform.GetNthTransform(1).Downcast().GetDisplacementField()
        parts["inverse_warp"] = inverse.GetNthTransform(0).Downcast().GetDisplacementField()
    return parts


def _field(path: Path | None) -> sitk.Image | None:
    return None if path is None else sitk.ReadImage(str(path), sitk.sitkVectorFloat64)
