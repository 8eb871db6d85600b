"""A segmentation as files: masks on the scan's own grid, and one JSON with amounts, model, quality and flags."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from trialscan.imaging import Volume, write_volumes
from trialscan.segmentation.scan import Segmentation


def write_segmentation(result: Segmentation, out: Path) -> None:
    """Write `lesions.nii.gz`, `organ.nii.gz` where there is one, and `quality.json` to the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    masks = {"lesions.nii.gz": result.lesions, "organ.nii.gz": result.organ}
    write_volumes({out / name: mask for name, mask in masks.items() if mask is not None})
    (out / "quality.json").write_text(json.dumps(describe(result), indent=2) + "\n", encoding="utf-8")


def describe(result: Segmentation) -> dict[str, Any]:
    """What `quality.json` holds: amounts of organ and classes, sources, model, quality numbers and flags."""
    return {
        "organ": None if result.organ is None else _amount(result.organ, None),
        "classes": {name: _amount(result.lesions, label) for label, name in sorted(result.class_names.items())},
        "organ_source": result.organ_source,
        "lesion_source": result.lesion_source,
        "model": None if result.model is None else result.model.name,
        "model_sha256": None if result.model is None else result.model.sha256,
        "quality": dict(result.quality),
        "flags": list(result.flags),
    }


def _amount(mask: Volume, label: int | None) -> dict[str, float | int]:
    """Voxels of a label (any positive for None), with millilitres where the scan has them."""
    voxels = int(np.count_nonzero(mask.array > 0 if label is None else mask.array == label))
    if mask.is_planar or not mask.spacing_known:
        return {"pixels": voxels}
    return {"voxels": voxels, "volume_ml": voxels * mask.voxel_ml}
