"""Which visits have an outcome: patterns by arm, and observed and missing outcomes by visit."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.arm_data import EndpointData, follow_up
from trialscan.statistics.rows import Analysis, ResultRow, statistics_rows

KIND = "missingness"
OBSERVED, MISSING, GIVEN_UP = "O", "M", "X"
LEGEND = "O observed, M missing, X observed from a hypothetical intercurrent event on and not used"


def missingness(data: EndpointData, used: EndpointData) -> Analysis:
    """Rows, a record, and no arm left out.

    Patients are all that the table names for the parameter, visits all after baseline. `data` is what was observed and
    `used` what of it the models use. A pattern is monotone where nothing that is used follows a visit that is not,
    else intermittent. Patients without an arm stand under an empty arm name.

    Raises
    ------
    StatisticsError : there is no visit after baseline.
    """
    rows = follow_up(data.rows)
    order = rows.groupby("AVISIT")["AVISITN"].min().reset_index().sort_values(["AVISITN", "AVISIT"], na_position="last")
    visits = [str(visit) for visit in order["AVISIT"]]
    if not visits:
        raise StatisticsError(f"parameter {data.code}", "no patient has a row after baseline", "a follow-up visit")
    arm_of = data.rows.groupby("USUBJID")["TRT01P"].first().fillna("")
    letters = _letters(data, used, arm_of.index, visits)
    arms = {str(arm): letters[(arm_of == arm).to_numpy()] for arm in sorted(set(arm_of))}
    record = {
        "analysis_id": f"{data.name}.{KIND}",
        "kind": KIND,
        "parameter": data.code,
        "label": data.label,
        "legend": LEGEND,
        "visits": visits,
        "arms": [{"arm": arm, **_arm_record(mine, visits)} for arm, mine in arms.items()],
    }
    return _rows(record, data), record, {}


def _letters(data: EndpointData, used: EndpointData, patients: pd.Index, visits: list[str]) -> NDArray[np.str_]:
    """Patients by visits: O, M or X."""
    place = {visit: number for number, visit in enumerate(visits)}
    out = np.full((len(patients), len(visits)), MISSING)
    for records, letter in ((data.after_baseline(), GIVEN_UP), (used.after_baseline(), OBSERVED)):
        chosen = records[records["AVISIT"].isin(visits)]
        rows = patients.get_indexer(pd.Index(chosen["USUBJID"]))
        out[rows, chosen["AVISIT"].map(place).to_numpy(dtype=np.intp)] = letter
    return out


def _arm_record(letters: NDArray[np.str_], visits: list[str]) -> dict[str, Any]:
    n = len(letters)
    patterns, counts = np.unique(letters, axis=0, return_counts=True)
    used = letters == OBSERVED
    lacking = zip(visits, (n - used.sum(axis=0)).tolist(), strict=True)
    by_visit = [
        {"visit": visit, "n_observed": n - count, "n_missing": count, "percent_missing": 100 * count / n}
        for visit, count in lacking
    ]
    found: list[dict[str, Any]] = [
        {"pattern": " ".join(pattern), "kind": _kind(pattern), "n": int(count), "percent": 100 * int(count) / n}
        for pattern, count in zip(patterns, counts, strict=True)
    ]
    kinds = ("complete", "monotone", "intermittent")
    totals = {f"n_{kind}": sum(each["n"] for each in found if each["kind"] == kind) for kind in kinds}
    return {
        "n_patients": n,
        **totals,
        "visits": by_visit,
        "patterns": sorted(found, key=lambda each: (-each["n"], each["pattern"].replace(OBSERVED, " "))),
    }


def _kind(pattern: NDArray[np.str_]) -> str:
    used = pattern == OBSERVED
    if used.all():
        return "complete"
    return "intermittent" if used[int(np.argmin(used)) :].any() else "monotone"


def _rows(record: dict[str, Any], data: EndpointData) -> list[ResultRow]:
    rows: list[ResultRow] = []
    note = f"visits {', '.join(record['visits'])}; {LEGEND}"
    for each in record["arms"]:
        at = {"analysis_id": record["analysis_id"], "parameter": data.code, "arm": each["arm"]}
        totals = {name: each[name] for name in ("n_patients", "n_complete", "n_monotone", "n_intermittent")}
        rows += statistics_rows(values=totals, note="" if each["arm"] else "patients without an arm", **at)
        for found in each["patterns"]:
            values = {f"n[{found['pattern']}]": found["n"], f"percent[{found['pattern']}]": found["percent"]}
            rows += statistics_rows(values=values, note=f"{found['kind']}; {note}", **at)
        for visit in each["visits"]:
            values = {name: visit[name] for name in ("n_observed", "n_missing", "percent_missing")}
            rows += statistics_rows(values=values, visit=visit["visit"], **at)
    return rows
