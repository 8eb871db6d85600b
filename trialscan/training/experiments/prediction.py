"""What a network makes of cases that it did not learn from, by the same way that a bundle of it would run."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from trialscan.imaging import Units, Volume
from trialscan.segmentation import compare_masks
from trialscan.segmentation.engine import LoadedNetwork, infer_prepared
from trialscan.training.experiments.classes import Classes
from trialscan.training.experiments.preparation import PreparedCase

Measures = dict[str, str | float | None]


def predict_case(network: LoadedNetwork, case: PreparedCase, classes: Classes) -> Volume:
    """Classes on the scan's own grid."""
    found = infer_prepared(case.seen[None], case.reference, network).labels
    return found.with_array(classes.told(found.array))


def measure_case(predicted: Volume, reference: Volume, classes: Classes) -> Iterator[Measures]:
    """Agreement for each class and each union: label, Dice, sizes, and surface Dice where millimetres are known."""
    for name, members in classes.measured.items():
        yield measures(name, _mask(predicted, members), _mask(reference, members))


def measures(label: str, predicted: Volume, reference: Volume) -> Measures:
    """Agreement of two masks on one grid, as a row of `cases.csv`."""
    found = compare_masks(predicted, reference)
    unit = next(unit for unit in ("ml", "mm2", "voxels") if found[f"reference_{unit}"] is not None)
    return {
        "label": label,
        "dice": found["dice"],
        "surface_dice_2mm": found["surface_dice_2mm"],
        "hd95_mm": found["hd95_mm"],
        "reference_size": found[f"reference_{unit}"],
        "predicted_size": found[f"predicted_{unit}"],
        "size_unit": "pixels" if unit == "voxels" and reference.is_planar else unit,
    }


def validation_dice(network: LoadedNetwork, cases: Sequence[PreparedCase], classes: Classes) -> float:
    """Mean Dice over classes of the mean over cases; two empty masks agree wholly."""
    labels = range(1, len(classes.names))
    found = [
        [_dice(predict_case(network, case, classes).array, case.reference.array, label) for label in labels]
        for case in cases
    ]
    return float(np.mean(found))


def _dice(first: NDArray[np.integer], second: NDArray[np.integer], label: int) -> float:
    one, other = first == label, second == label
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 1.0


def _mask(volume: Volume, members: Sequence[int]) -> Volume:
    return volume.with_array(np.isin(volume.array, members).astype(np.uint8), Units.LABEL)
