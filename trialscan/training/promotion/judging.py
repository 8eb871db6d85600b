"""A model on annotated cases, scan by scan, as it would run in a trial."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trialscan.errors import InputError
from trialscan.imaging import Units, Volume, read_volume
from trialscan.segmentation import Segmenter
from trialscan.training.datasets import AnnotatedCase
from trialscan.training.experiments.prediction import measures
from trialscan.training.experiments.preparation import merged_masks
from trialscan.training.experiments.tables import case_table

Paths = Callable[[str], Path]


@dataclass(frozen=True)
class Reading:
    """One thing that is judged: the snapshot's labels that mean it, and the model's."""

    reference: frozenset[int]
    model: frozenset[int]


def judge(
    segmenter: Segmenter, cases: Sequence[AnnotatedCase], paths: Paths, units: Units, readings: Mapping[str, Reading]
) -> pd.DataFrame:
    """A row a case and reading, with the columns of an experiment's `cases.csv` but variant, seed and fold.

    Raises
    ------
    InputError
        A case's masks do not fit it: every fault is told.
    """
    rows = [row for case in cases for row in _rows(segmenter, case, paths, units, readings)]
    return case_table(rows, cases).drop(columns=["variant", "seed", "fold"])


def _rows(
    segmenter: Segmenter, case: AnnotatedCase, paths: Paths, units: Units, readings: Mapping[str, Reading]
) -> Iterator[dict[str, Any]]:
    image = read_volume(paths(case.images[0]), units)
    labels, faults = merged_masks(case, {mask.path: paths(mask.path) for mask in case.masks}, image)
    if faults:
        raise InputError(faults)
    found = segmenter(image).labels
    for name, reading in readings.items():
        yield {
            "case_id": case.case_id,
            **measures(name, _of(found, found.array, reading.model), _of(image, labels, reading.reference)),
        }


def _of(like: Volume, labels: np.ndarray, members: frozenset[int]) -> Volume:
    return like.with_array(np.isin(labels, sorted(members)).astype(np.uint8), Units.LABEL)
