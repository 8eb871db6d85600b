"""Agreement of mask files: one pair, or two folders matched by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trialscan.errors import ScanError, UsageError
from trialscan.imaging import read_mask, read_volume
from trialscan.segmentation.evaluation.scan import Criteria, ScanResult, compare_scan
from trialscan.segmentation.evaluation.tables import Evaluation, tabulate

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".png")


@dataclass(frozen=True)
class Pair:
    """A predicted mask, its reference and, where given, the probabilities of foreground."""

    name: str
    predicted: Path
    reference: Path
    probabilities: Path | None


def evaluate(
    predicted: Path,
    reference: Path,
    *,
    probabilities: Path | None = None,
    criteria: Criteria | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare mask files.

    Parameters
    ----------
    predicted, reference : two files, or two folders whose files agree in name (endings may differ).
    probabilities : a file or folder likewise: the predicted probability (0 to 1) of any positive label.
    criteria : size bands, and when a lesion counts as found.
    watch : told after each scan how many are done, and of how many.

    A scan of a folder that cannot be compared is a row with status `failed`; the others go on.

    Raises
    ------
    UsageError
        A file is compared with a folder, or a name has no partner.
    ImagingError
        One of two files given cannot be read as a mask, or they lie on different grids.
    """
    criteria = criteria or Criteria()
    pairs = _pairs(predicted, reference, probabilities)
    alone = predicted.is_file()
    results: dict[str, ScanResult | ScanError] = {}
    for done, pair in enumerate(pairs, start=1):
        try:
            results[pair.name] = _compare(pair, criteria)
        except ScanError as error:
            if alone:
                raise
            results[pair.name] = error
        if watch is not None:
            watch(done, len(pairs))
    return tabulate(results, criteria)


def _compare(pair: Pair, criteria: Criteria) -> ScanResult:
    second = read_mask(pair.reference)
    first = read_mask(pair.predicted, like=second)
    if pair.probabilities is None:
        return compare_scan(first, second, criteria)
    return compare_scan(first, second, criteria, read_volume(pair.probabilities), pair.probabilities.name)


def _pairs(predicted: Path, reference: Path, probabilities: Path | None) -> list[Pair]:
    given = [path for path in (predicted, reference, probabilities) if path is not None]
    if all(path.is_file() for path in given):
        return [Pair(_stem(predicted), predicted, reference, probabilities)]
    if not all(path.is_dir() for path in given):
        names = " and ".join(path.name for path in given)
        raise UsageError("evaluate", names, "two mask files or two folders of them, probabilities likewise")
    first, second = _masks(predicted), _masks(reference)
    maps = None if probabilities is None else _masks(probabilities)
    if lonely := sorted((set(first) ^ set(second)) | (set() if maps is None else set(first) - set(maps))):
        raise UsageError("evaluate", f"no partner for {', '.join(lonely)}", "the same names in all folders")
    if not first:
        raise UsageError("evaluate", f"no masks in {predicted.name}", f"files ending in {', '.join(_SUFFIXES)}")
    return [Pair(name, first[name], second[name], None if maps is None else maps[name]) for name in sorted(first)]


def _masks(folder: Path) -> dict[str, Path]:
    return dict(_named(folder))


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    seen: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(_SUFFIXES):
            name = _stem(path)
            if name in seen:
                raise UsageError(folder.name, f"{seen[name].name} and {path.name}", "one mask a name")
            seen[name] = path
            yield name, path


def _stem(path: Path) -> str:
    return next((path.name[: -len(s)] for s in _SUFFIXES if path.name.endswith(s)), path.name)
