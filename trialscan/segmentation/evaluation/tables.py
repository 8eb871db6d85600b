"""The tables of an evaluation: scans, lesions, detection by size, agreement, summary and reliability."""

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trialscan.errors import ScanError
from trialscan.segmentation.evaluation.agreement import Estimate
from trialscan.segmentation.evaluation.burden import agreement_table
from trialscan.segmentation.evaluation.interval import mean_interval, median_interval, pooled_detection
from trialscan.segmentation.evaluation.lesionwise import PREDICTED, REFERENCE, Row, bands
from trialscan.segmentation.evaluation.scan import ANY, Criteria, ScanResult, absent_label, calibration_measures

EVERY_SCAN, WITH_REFERENCE = "all", "with_reference"
SUMMARISED = (
    *("dice", "jaccard", "surface_dice_2mm", "hd95_mm", "hd95_pixels", "mean_surface_distance_mm"),
    *("mean_surface_distance_pixels", "difference_ml", "difference_percent", "lesion_precision", "lesion_recall"),
    *("lesion_f1", "false_lesions", "expected_calibration_error", "brier_score"),
)
LESION_COLUMNS = (
    *("name", "label", "side", "lesion", "matched", "volume_ml", "area_mm2", "voxels", "overlap_voxels", "dice"),
    *("from_ml", "partners", "centroid_x_mm", "centroid_y_mm", "centroid_z_mm"),
)
_COUNTS = frozenset(
    (
        *("lesion", "voxels", "overlap_voxels", "predicted_voxels", "reference_voxels", "reference_lesions"),
        *("found_lesions", "predicted_lesions", "true_lesions", "false_lesions", "scans", "n", "undefined"),
    )
)
_WORDS = frozenset(("name", "label", "side", "partners", "status", "message", "scope", "subset", "metric"))
_COUNTED = ["reference_lesions", "found_lesions", "predicted_lesions", "true_lesions"]


@dataclass(frozen=True)
class Evaluation:
    """Every table of a comparison of masks with references; columns are described in docs/evaluate.md.

    `scans` has a row a scan and label (`any`: all positive labels together), `lesions` a row a lesion of either side,
    `detection` precision, recall and F1 by size band, `agreement` the statistics of the burden, `summary` each measure
    over the scans, `reliability` probabilities against truth, and `calibration` their pooled measures; the last two
    are empty without probabilities.
    """

    scans: pd.DataFrame
    lesions: pd.DataFrame
    detection: pd.DataFrame
    agreement: pd.DataFrame
    summary: pd.DataFrame
    reliability: pd.DataFrame
    calibration: Mapping[str, float]
    criteria: Criteria

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of scans that could not be compared."""
        return tuple(self.scans.loc[self.scans["status"] == "failed", "name"])

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by name, empty reliability left out."""
        names = ("scans", "lesions", "detection", "agreement", "summary", "reliability")
        return {name: getattr(self, name) for name in names if name != "reliability" or len(self.reliability)}


def tabulate(results: Mapping[str, ScanResult | ScanError], criteria: Criteria) -> Evaluation:
    """Gather the results of scans by name, in the order given."""
    compared = {name: result for name, result in results.items() if isinstance(result, ScanResult)}
    labels = sorted({label for result in compared.values() for label in result.rows} - {ANY}, key=int)
    shown = [ANY, *(labels if len(labels) > 1 else ())]
    scans = _frame([row for name, result in results.items() for row in _scan_rows(name, result, shown)])
    listed = [{"name": name} | row for name, result in compared.items() for row in result.lesions]
    lesions = _frame([row for row in listed if row["label"] in shown], LESION_COLUMNS)
    parts = [result.reliability for result in compared.values() if result.reliability is not None]
    pooled = functools.reduce(operator.add, parts) if parts else None
    return Evaluation(
        scans,
        lesions,
        _frame(list(_detection_rows(lesions, list(compared), shown, criteria))) if compared else pd.DataFrame(),
        agreement_table(scans),
        _frame(list(_summary_rows(scans))),
        pd.DataFrame() if pooled is None else pd.DataFrame(pooled.table()),
        {} if pooled is None else calibration_measures(pooled),
        criteria,
    )


def _scan_rows(name: str, result: ScanResult | ScanError, labels: Sequence[str]) -> Iterator[Row]:
    if isinstance(result, ScanError):
        yield {"name": name, "label": ANY, "status": "failed", "message": str(result)}
        return
    for label in labels:
        row = result.rows.get(label) or absent_label(result.grid)
        yield {"name": name, "label": label} | row | {"status": "ok", "message": ""}


def _detection_rows(
    lesions: pd.DataFrame, names: Sequence[str], labels: Sequence[str], criteria: Criteria
) -> Iterator[Row]:
    """All lesions, those of each size band, and those from each band's lower end on."""
    ranges: list[tuple[str, float | None, float | None]] = [("all", None, None)]
    if lesions["from_ml"].notna().any():
        ranges += [("band", *ends) for ends in bands(criteria.bands_ml)]
        ranges += [("from", start, None) for start in criteria.bands_ml[:-1]]
    for label in labels:
        own = lesions[lesions["label"] == label]
        for scope, start, end in ranges:
            some = own
            if start is not None:
                some = own[(own["from_ml"] >= start) & (own["from_ml"] < (np.inf if end is None else end))]
            head = {"label": label, "scope": scope, "from_ml": start, "below_ml": end, "scans": len(names)}
            yield head | _detection(some, names)


def _detection(lesions: pd.DataFrame, names: Sequence[str]) -> Row:
    sides = {side: lesions[lesions["side"] == side] for side in (REFERENCE, PREDICTED)}
    columns = [
        own["name"].value_counts().reindex(pd.Index(names), fill_value=0)
        for side in sides.values()
        for own in (side, side[side["matched"].astype(bool)])
    ]
    counts = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    pooled, sums = pooled_detection(counts), counts.sum(axis=0)
    row: Row = dict(zip(_COUNTED, sums.tolist(), strict=True)) | {"false_lesions": float(sums[2] - sums[3])}
    for name in ("precision", "recall", "f1", "false_per_scan"):
        row |= _cells(name, getattr(pooled, name))
    dice = sides[REFERENCE]["dice"]
    return row | {"mean_dice": float(dice.mean()) if len(dice) else None}


def _summary_rows(scans: pd.DataFrame) -> Iterator[Row]:
    compared = scans[scans["status"] == "ok"]
    for label, group in compared.groupby("label", sort=False):
        subsets = {EVERY_SCAN: group, WITH_REFERENCE: group[group["reference_voxels"] > 0]}
        for subset, some in subsets.items():
            for metric in SUMMARISED:
                if metric in some and some[metric].notna().any():
                    yield {"label": label, "subset": subset, "metric": metric} | _summary(some[metric])


def _summary(column: "pd.Series[Any]") -> Row:
    values = column.dropna().to_numpy(np.float64)
    return {
        "n": len(values),
        "undefined": int(column.isna().sum()),
        **_cells("mean", mean_interval(values)),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        **_cells("median", median_interval(values)),
        "minimum": float(values.min()),
        "maximum": float(values.max()),
    }


def _cells(name: str, found: Estimate | None) -> Row:
    ends = (None, None, None) if found is None else (found.value, found.lower, found.upper)
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), ends, strict=True))


def _frame(rows: Sequence[Row], columns: Sequence[str] = ()) -> pd.DataFrame:
    """A table with whole numbers for counts, truth values for `matched`, text for words and floats for the rest."""
    names = dict.fromkeys((*columns, *(name for row in rows for name in row)))
    ending = [name for name in names if name in {"status", "message"}]
    frame = pd.DataFrame(rows, columns=[*(name for name in names if name not in ending), *ending])
    return frame.astype({name: _kind(name) for name in frame.columns})


def _kind(name: str) -> str:
    if name in _COUNTS:
        return "Int64"
    if name == "matched":
        return "boolean"
    return "object" if name in _WORDS else "float64"
