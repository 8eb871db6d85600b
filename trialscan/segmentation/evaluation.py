"""Agreement of mask files: one pair, or two folders matched by name."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trialscan.errors import UsageError
from trialscan.imaging import Volume, read_mask
from trialscan.segmentation.metrics import compare_masks

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".png")
Row = dict[str, str | float | None]


def evaluate(predicted: Path, reference: Path) -> list[Row]:
    """Compare mask files.

    Parameters
    ----------
    predicted, reference : two files, or two folders whose files agree in name (endings may differ).

    Returns
    -------
    One row a file for `label` "any" (all positive labels together), then one for each label in either mask where
    there are several; columns `name`, `label` and those of `compare_masks`. Sorted by name and label.

    Raises
    ------
    UsageError
        A file is compared with a folder, or a name has no partner.
    ImagingError
        A file cannot be read as a mask, or two masks lie on different grids.
    """
    return [row for name, first, second in _pairs(predicted, reference) for row in _rows(name, first, second)]


def _pairs(predicted: Path, reference: Path) -> Iterator[tuple[str, Path, Path]]:
    if predicted.is_file() and reference.is_file():
        yield _stem(predicted), predicted, reference
        return
    if not (predicted.is_dir() and reference.is_dir()):
        raise UsageError("evaluate", f"{predicted.name} and {reference.name}", "two mask files or two folders of them")
    first, second = _masks(predicted), _masks(reference)
    if lonely := sorted(set(first) ^ set(second)):
        raise UsageError("evaluate", f"no partner for {', '.join(lonely)}", "the same names in both folders")
    if not first:
        raise UsageError("evaluate", f"no masks in {predicted.name}", f"files ending in {', '.join(_SUFFIXES)}")
    for name in sorted(first):
        yield name, first[name], second[name]


def _masks(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(_SUFFIXES):
            if _stem(path) in found:
                raise UsageError(folder.name, f"{found[_stem(path)].name} and {path.name}", "one mask a name")
            found[_stem(path)] = path
    return found


def _stem(path: Path) -> str:
    return next((path.name[: -len(s)] for s in _SUFFIXES if path.name.endswith(s)), path.name)


def _rows(name: str, predicted: Path, reference: Path) -> Iterator[Row]:
    second = read_mask(reference)
    first = read_mask(predicted, like=second)
    yield {"name": name, "label": "any", **compare_masks(first, second)}
    labels = sorted({int(label) for mask in (first, second) for label in np.unique(mask.array)} - {0})
    for label in labels if len(labels) > 1 else ():
        yield {"name": name, "label": str(label), **compare_masks(_only(first, label), _only(second, label))}


def _only(mask: Volume, label: int) -> Volume:
    return mask.with_array((mask.array == label).astype(np.uint8))
