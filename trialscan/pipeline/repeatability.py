"""Measurement error from a manifest of repeated scans: what `trialscan repeatability` does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from trialscan.audit.json_file import read_json
from trialscan.errors import LesionError
from trialscan.lesions import BURDEN
from trialscan.lesions.error import ScanFacts, scan_difference
from trialscan.lesions.repeatability import (
    Agreement,
    Estimate,
    Repeatability,
    RepeatedLesion,
    agreement,
    estimate_repeatability,
)
from trialscan.pipeline.engine import Watch
from trialscan.pipeline.outcome import RunSummary
from trialscan.pipeline.run import RunRequest, run_trial
from trialscan.pipeline.tables import write_table
from trialscan.reports.figure_repeatability import repeatability_svg

RUN, STEM, PAIRS = "run", "repeatability", "repeatability_pairs"
MEASURED = {"growing", "shrinking", "stable", "indeterminate"}
HEAD = """\
# Measurement error from repeated scans of {patients} patients, {pairs} pairs of lesions (trialscan repeatability).
# sd_log: within-subject standard deviation of the natural logarithm of the volume. Put this into a protocol.
"""


@dataclass(frozen=True)
class MeasuredRepeatability:
    """The run over the repeated scans, the estimates, and the table that repeatability.csv holds."""

    summary: RunSummary
    repeatability: Repeatability
    table: pd.DataFrame


def measure_repeatability(request: RunRequest, watch: Watch | None = None) -> MeasuredRepeatability:
    """Outline, align and link the scans of a manifest, all visits of a patient being repeats, and compare the sizes.

    Each visit is compared with the one before. `request.out` gets `run/` (as `trialscan track` writes it),
    repeatability.csv, repeatability_pairs.csv (both also as Parquet), repeatability.yaml, a fragment for a protocol,
    and repeatability.svg.

    Raises
    ------
    ProtocolError, ManifestError
        An input is invalid.
    LesionError
        Fewer than two lesions were measured twice.
    """
    summary = run_trial(replace(request, out=request.out / RUN, reports=False), watch=watch)
    run = request.out / RUN
    lesions = _read(run / "tables" / "lesions.csv")
    pairs = [pair for patient, rows in lesions.groupby("patient_id") for pair in _pairs(run, str(patient), rows)]
    if len(pairs) < 2:
        raise LesionError(str(request.manifest), f"{len(pairs)} lesions measured twice", "at least two")
    found = estimate_repeatability(pairs)
    listed = pd.DataFrame([_pair_cells(pair) for pair in pairs])
    table = pd.DataFrame([*_band_rows(found), *_burden_rows(run)])
    write_table(table, request.out / STEM)
    write_table(listed, request.out / PAIRS)
    (request.out / f"{STEM}.yaml").write_text(fragment(found, listed), encoding="utf-8")
    (request.out / f"{STEM}.svg").write_text(repeatability_svg(listed, table), encoding="utf-8")
    return MeasuredRepeatability(summary, found, table)


def fragment(found: Repeatability, pairs: pd.DataFrame) -> str:
    """The section `lesions` of a protocol that holds the estimates, as YAML."""
    yaml, stream = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    rows = [row.model_dump() for row in found.table()]
    yaml.dump({"lesions": {"repeatability": rows, "repeatability_common": round(found.common, 3)}}, stream)
    return HEAD.format(patients=pairs["patient_id"].nunique(), pairs=len(pairs)) + stream.getvalue()


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=dict.fromkeys(("patient_id", "visit", "lesion_id", "predecessors"), str))


def _pairs(run: Path, patient: str, rows: pd.DataFrame) -> Iterator[RepeatedLesion]:
    """The lesions of one patient that one visit and the next show alone and whole."""
    visits = list(dict.fromkeys(rows.sort_values("study_day", kind="stable")["visit"]))
    for before, after in pairwise(visits):
        facts = [_facts(run, patient, visit) for visit in (before, after)]
        if None in facts:
            continue
        first, second = (rows[rows["visit"] == visit].set_index("lesion_id") for visit in (before, after))
        unlike = scan_difference(facts[:1], facts[1:])  # type: ignore[arg-type]
        slices = max(one.slice_mm or 0.0 for one in facts if one is not None)
        for name, row in second.iterrows():
            if _comparable(str(name), row) and name in first.index and first.loc[name, "volume_ml"] > 0:
                sizes = float(first.loc[name, "volume_ml"]), float(row["volume_ml"])
                yield RepeatedLesion(patient, f"{name} {before}-{after}", *sizes, slices, across=bool(unlike))


def _comparable(name: str, row: "pd.Series[Any]") -> bool:
    whole = "cut by" not in str(row["note"])
    return row["change"] in MEASURED and row["predecessors"] == name and whole and row["volume_ml"] > 0


def _facts(run: Path, patient: str, visit: str) -> ScanFacts | None:
    """Slice thickness and scanner of a visit; None for one without millilitres or without measures."""
    path = run / "patients" / patient / visit / "measures.json"
    if not path.is_file():
        return None
    scan = read_json(path)["scan"]
    return None if scan["slice_mm"] is None else ScanFacts(scan["slice_mm"], scan["scanner"])


def _pair_cells(pair: RepeatedLesion) -> dict[str, Any]:
    return {
        "patient_id": pair.patient_id,
        "lesion": pair.lesion_id,
        "first_ml": pair.first_ml,
        "second_ml": pair.second_ml,
        "mean_ml": pair.mean_ml,
        "ratio": pair.second_ml / pair.first_ml,
        "slice_mm": pair.slice_mm,
        "scanners": "different" if pair.across else "same",
    }


def _band_rows(found: Repeatability) -> Iterator[dict[str, Any]]:
    for band in found.bands:
        scope = {"subject": "lesion", "from_ml": band.from_ml, "max_slice_mm": band.max_slice_mm}
        yield scope | {"scanners": "different" if band.across else "same"} | _cells(band.agreement)


def _burden_rows(run: Path) -> Iterator[dict[str, Any]]:
    """The whole burden of successive visits, where both are above 0."""
    courses = pd.read_csv(run / "tables" / "trajectories.csv", dtype={"patient_id": str})
    burden = courses[(courses["course"] == BURDEN) & (courses["size"] > 0) & (courses["measure"] == "volume_ml")]
    couples = [pair for _, rows in burden.groupby("patient_id") for pair in pairwise(rows["size"].tolist())]
    if len(couples) > 1:
        sizes = np.log(np.asarray(couples))
        scope = {"subject": BURDEN, "from_ml": None, "max_slice_mm": None, "scanners": "any"}
        yield scope | _cells(agreement(sizes[:, 0], sizes[:, 1]))


def _cells(found: Agreement) -> dict[str, Any]:
    """Standard deviations on the log scale; bias and limits as percent of the first measurement."""
    within = found.within_sd
    cells = {"pairs": found.n, "sd_log": within.value, "sd_log_lower": within.lower, "sd_log_upper": within.upper}
    cells |= {"repeatability_log": found.repeatability}
    cells |= {"decrease_percent": _percent(-found.repeatability), "increase_percent": _percent(found.repeatability)}
    for name, value in (("bias", found.bias), ("lower_limit", found.lower_limit), ("upper_limit", found.upper_limit)):
        cells |= _interval(name, value)
    return cells


def _interval(name: str, found: Estimate) -> dict[str, float]:
    values = {"": found.value, "_from": found.lower, "_to": found.upper}
    return {f"{name}{end}_percent": _percent(value) for end, value in values.items()}


def _percent(log_ratio: float) -> float:
    return float(100.0 * np.expm1(log_ratio))
