"""The tables of a trial: scans.csv, lesions.csv, trajectories.csv and analysis.csv, each also as Parquet.

All but the last join what each patient's `history.json` holds. analysis.csv is the only one that knows arms: a row a
patient, parameter and visit, in the names of CDISC's ADaM Basic Data Structure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from trialscan.errors import Fault, ProtocolError
from trialscan.study import NEW_LESION_COUNT

LESION_COLUMNS = (
    "patient_id",
    "visit",
    "study_day",
    "lesion_id",
    "family",
    "class_name",
    "volume_ml",
    "organ_percent",
    "longest_diameter_mm",
    "mean_intensity",
    "centroid_x_mm",
    "centroid_y_mm",
    "centroid_z_mm",
    "change",
    "change_percent",
    "predecessors",
    "note",
    "change_probability",
    "sd_log",
    "perpendicular_diameter_mm",
    "mass_g",
    "surface_distance_mm",
    "side",
    "mean_probability",
)
TRAJECTORY_COLUMNS = (
    *("patient_id", "course", "visit", "study_day", "status", "measure", "size", "size_lower", "size_upper"),
    *("size_change", "change_percent", "nadir", "change_from_nadir_percent", "best_response_percent", "progressed"),
    *("days_to_progression", "lesion_count", "new_count", "new_size", "resolved_count", "resolved_size"),
    *("lesion_shift_mm", "error_lower_percent", "error_upper_percent"),
)
ANALYSIS_COLUMNS = (
    "STUDYID",
    "USUBJID",
    "TRT01P",
    "PARAMCD",
    "PARAM",
    "AVISIT",
    "AVISITN",
    "ADY",
    "AVAL",
    "BASE",
    "CHG",
    "PCHG",
    "ABLFL",
    "ANL01FL",
)
SOURCE_COLUMNS = ("SRCIMG", "SRCMASK")
_INTEGERS = dict.fromkeys(
    (
        *("study_day", "lesion_count", NEW_LESION_COUNT, "new_count", "resolved_count", "days_to_progression"),
        *("AVISITN", "ADY"),
    ),
    "Int64",
)
_FLAGS = ("is_baseline", "in_window", "progressed")
_NUMBERS = frozenset(
    (
        *(
            "change_probability",
            "mean_probability",
            "sd_log",
            "mass_g",
            "size",
            "size_lower",
            "size_upper",
            "size_change",
            "nadir",
        ),
        *("new_size", "resolved_size"),
    )
)


@dataclass(frozen=True)
class Parameter:
    """A measure of scans.csv as an analysis parameter: its ADaM code (at most 8 characters) and label."""

    measure: str
    code: str
    label: str


def scan_columns(class_names: Sequence[str]) -> tuple[str, ...]:
    """Columns of scans.csv for the lesion classes of a protocol."""
    classes = [f"{name}_{unit}" for name in class_names for unit in ("ml", "percent")]
    return (
        *("patient_id", "visit", "study_day", "is_baseline", "in_window", "burden_ml", "organ_ml", "burden_percent"),
        *classes,
        *("lesion_count", NEW_LESION_COUNT, "organ_source", "lesion_source", "alignment_status", "alignment_rung"),
        *("status", "flags", "message", "image_sha256", "organ_sha256", "lesion_sha256", "model", "model_sha256"),
        *("burden_lower_ml", "burden_upper_ml", "burden_lower_percent", "burden_upper_percent"),
    )


def parameters(measures: Sequence[str]) -> tuple[Parameter, ...]:
    """Analysis parameters for measures, in order; raises ProtocolError when two would share a code."""
    found: dict[str, Parameter] = {}
    for measure in dict.fromkeys(measures):
        parameter = _parameter(measure)
        if parameter.code in found:
            twins, code = f"{found[parameter.code].measure} and {measure}", parameter.code
            raise ProtocolError([Fault("protocol: endpoints", f"{twins} share the code {code}; rename a lesion class")])
        found[parameter.code] = parameter
    return tuple(found.values())


def _parameter(measure: str) -> Parameter:
    if measure == NEW_LESION_COUNT:
        return Parameter(measure, "NEWLES", "New lesions since the last assessed visit (count)")
    name, _, unit = measure.rpartition("_")
    code = _stem(name) + {"ml": "ML", "percent": "PC", "count": "NO"}[unit]
    return Parameter(measure, code, f"{name.replace('_', ' ').capitalize()} ({'%' if unit == 'percent' else unit})")


def _stem(name: str) -> str:
    """At most six capitals for a measure's name: GRDGLS of ground_glass, BURDEN of burden."""
    words = name.upper().split("_")
    if len(words) == 1:
        return words[0][:6]
    share = max(1, 6 // len(words))
    return "".join(_consonants(word)[:share] for word in words)[:6]


def _consonants(word: str) -> str:
    return word[0] + "".join(letter for letter in word[1:] if letter not in "AEIOU")


def scans_table(rows: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> pd.DataFrame:
    """A row a scan, by patient and study day; missing visits last within a patient."""
    table = _table(rows, scan_columns(class_names))
    return table.sort_values(["patient_id", "study_day", "visit"], na_position="last", ignore_index=True)


def lesions_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row a lesion a visit, by patient, study day and lesion."""
    table = _table(rows, LESION_COLUMNS)
    return table.sort_values(["patient_id", "study_day", "visit", "lesion_id"], ignore_index=True)


def trajectories_table(rows: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> pd.DataFrame:
    """A row a patient, course and visit, in the order of the patients' own rows."""
    return _table(rows, (*TRAJECTORY_COLUMNS, *(f"{name}_ml" for name in class_names)))


@dataclass(frozen=True)
class AnalysisSources:
    """What analysis.csv adds to the scans.

    Parameters
    ----------
    measured : the parameters, in the protocol's order.
    arm_of : patient → arm, None where none was assigned.
    visit_number : visit → AVISITN.
    covariates : covariate → patient → value at the patient's first visit.
    """

    study_id: str
    measured: tuple[Parameter, ...]
    arm_of: Mapping[str, str | None]
    visit_number: Mapping[str, int]
    covariates: Mapping[str, Mapping[str, str]]


def analysis_table(scans: pd.DataFrame, sources: AnalysisSources) -> pd.DataFrame:
    """A row a patient, parameter and visit; scans without a value stay, AVAL missing and ANL01FL empty."""
    present = scans[scans["status"] != "missing"]
    parts = [_parameter_rows(present, parameter, sources) for parameter in sources.measured]
    columns = [*ANALYSIS_COLUMNS, *(name.upper() for name in sources.covariates), *SOURCE_COLUMNS]
    table = pd.concat(parts, ignore_index=True)[columns]
    return table.sort_values(["USUBJID", "PARAMCD", "ADY", "AVISIT"], ignore_index=True).astype(
        {name: kind for name, kind in _INTEGERS.items() if name in columns}
    )


def _parameter_rows(scans: pd.DataFrame, parameter: Parameter, sources: AnalysisSources) -> pd.DataFrame:
    value = scans[parameter.measure].astype("Float64").astype("float64")
    baseline = scans["is_baseline"].fillna(value=False).astype(bool)
    base = scans["patient_id"].map(dict(zip(scans.loc[baseline, "patient_id"], value[baseline], strict=True)))
    change = (value - base.astype("float64")).where(~baseline)
    rows = {
        "STUDYID": sources.study_id,
        "USUBJID": scans["patient_id"],
        "TRT01P": scans["patient_id"].map(dict(sources.arm_of)).astype("object"),
        "PARAMCD": parameter.code,
        "PARAM": parameter.label,
        "AVISIT": scans["visit"],
        "AVISITN": scans["visit"].map(dict(sources.visit_number)),
        "ADY": scans["study_day"],
        "AVAL": value,
        "BASE": base.astype("float64"),
        "CHG": change,
        "PCHG": (100.0 * change / base).where(base > 0),
        "ABLFL": baseline.map({True: "Y", False: None}),
        "ANL01FL": value.notna().map({True: "Y", False: None}),
        "SRCIMG": scans["image_sha256"],
        "SRCMASK": scans["lesion_sha256"],
    }
    for name, values in sources.covariates.items():
        rows[name.upper()] = scans["patient_id"].map(dict(values))
    return pd.DataFrame(rows)


def write_table(table: pd.DataFrame, stem: Path) -> list[Path]:
    """Write `<stem>.csv` and `<stem>.parquet`: UTF-8, full precision, missing left empty."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    csv, parquet = stem.with_suffix(".csv"), stem.with_suffix(".parquet")
    table.to_csv(csv, index=False, lineterminator="\n")
    table.to_parquet(parquet, index=False)
    return [csv, parquet]


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=list(columns))
    return table.astype({name: _column_type(name) for name in columns})


def _column_type(name: str) -> str:
    if name in _FLAGS:
        return "boolean"
    if name in _INTEGERS:
        return _INTEGERS[name]
    numeric = ("_ml", "_percent", "_mm", "_intensity")
    return "float64" if name.endswith(numeric) or name in _NUMBERS else "object"
