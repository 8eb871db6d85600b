"""The same-slice picture of one visit: grey values, lesion classes, organ and what the viewer must know about them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trialscan.imaging import Volume, clamp, resample
from trialscan.registration import Alignment, resample_to_baseline
from trialscan.reports.panel_files import FACTS, LESIONS, ORGAN, PICTURE
from trialscan.reports.slices import SlicePosition, choose_slice, orientation_letters


def write_panels(
    folder: Path,
    *,
    visit: str,
    study_day: int | None,
    image: Volume,
    organ: Volume | None,
    lesions: Volume | None,
    baseline: SlicePosition | None,
    alignment: Alignment | None,
    window: tuple[float, float] | None,
) -> tuple[Path, ...]:
    """Save the picture of one visit for the reports; for looking at only, nothing is measured on it.

    Parameters
    ----------
    folder : the visit's folder; panel.png, panel_lesions.png, panel_organ.png and panel.json are written there.
    image, organ, lesions : the visit's own scan and masks on one grid; lesions hold classes 1…n.
    baseline : the slice chosen at the patient's baseline by `choose_slice`; None where the baseline has none.
    alignment : of this follow-up to its baseline; None for the baseline visit itself.
        Where it failed, and for planar images, the visit shows a slice of its own, and panel.json says so.
    window : center and width in the image's units; None takes the scan's own range (0.5th to 99.5th percentile).

    Returns
    -------
    The files written.
    """
    shared = baseline is not None and not image.is_planar and (alignment is None or alignment.status != "fail")
    position = baseline if baseline is not None and shared else choose_slice(lesions, organ, image)
    moved = alignment if shared else None
    used_window = _own_window(image) if window is None else window
    masks = {LESIONS: lesions, ORGAN: organ}
    pictures = {PICTURE: _grey_rows(image, position, moved, used_window)}
    pictures |= {name: _label_rows(mask, position, moved) for name, mask in masks.items() if mask is not None}
    folder.mkdir(parents=True, exist_ok=True)
    for name in masks.keys() - pictures.keys():
        (folder / name).unlink(missing_ok=True)
    for name, rows in pictures.items():
        Image.fromarray(rows).save(folder / name, format="PNG", optimize=False)
    facts = _facts(position, image, used_window) | {
        "visit": visit,
        "study_day": study_day,
        "slice": "baseline" if shared else "own",
        "resampled": moved is not None,
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return tuple(folder / name for name in (*pictures, FACTS))


def _grey_rows(
    image: Volume, position: SlicePosition, alignment: Alignment | None, window: tuple[float, float]
) -> NDArray[np.uint8]:
    if image.is_planar:
        return _resized(_to_grey(image, window), position.shape, Image.Resampling.LANCZOS)
    return _to_grey(_cut(image, position, alignment, labels=False), window)


def _label_rows(mask: Volume, position: SlicePosition, alignment: Alignment | None) -> NDArray[np.uint8]:
    if mask.is_planar:
        return _resized(_rows(mask).astype(np.uint8), position.shape, Image.Resampling.NEAREST)
    return _rows(_cut(mask, position, alignment, labels=True)).astype(np.uint8)


def _cut(volume: Volume, position: SlicePosition, alignment: Alignment | None, *, labels: bool) -> Volume:
    if alignment is None:
        return resample(volume, like=position.grid(), order=0 if labels else 1)
    return resample_to_baseline(volume, alignment, position.grid(), labels=labels)


def _rows(volume: Volume) -> NDArray[Any]:
    """Rows × columns, first row on top."""
    return volume.array[:, :, 0].T


def _resized(rows: NDArray[np.uint8], shape: tuple[int, int], filtering: Image.Resampling) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(rows)).resize(shape, filtering))


def _to_grey(volume: Volume, window: tuple[float, float]) -> NDArray[np.uint8]:
    center, width = window
    lower = center - width / 2
    values = _rows(clamp(volume, lower, lower + width)).astype(np.float64)
    return np.rint(np.clip((values - lower) / width, 0, 1) * 255).astype(np.uint8)


def _own_window(image: Volume) -> tuple[float, float]:
    finite = image.array[np.isfinite(image.array)]
    if finite.size == 0:
        return 0.5, 1.0
    low, high = (float(value) for value in np.percentile(finite, (0.5, 99.5)))
    return (low + high) / 2, max(high - low, 1e-6)


def _facts(position: SlicePosition, image: Volume, window: tuple[float, float]) -> dict[str, object]:
    known = position.spacing_known
    return {
        "spacing_mm": position.pixel_size if known else None,
        "orientation": orientation_letters(position.affine) if known else None,
        "slice_center_mm": list(position.center) if known else None,
        "chosen_by": position.chosen_by,
        "window": [float(value) for value in window],
        "units": str(image.units),
    }
