"""A run folder with its arms: analysis.csv, results.csv and models.json, for the trial report and the figures only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trialscan.errors import ReportError
from trialscan.reports.run_folder import read_json, read_table, records, to_number

UNASSIGNED = "no arm"
_ANALYSIS_COLUMNS = ("USUBJID", "TRT01P", "PARAMCD", "PARAM", "AVISIT", "ADY", "AVAL")
_RESULT_COLUMNS = ("analysis_id", "parameter", "visit", "arm", "comparator", "statistic", "value")


@dataclass(frozen=True)
class Observation:
    """One row of analysis.csv: one parameter of one patient at one visit."""

    patient_id: str
    arm: str
    parameter: str
    label: str
    visit: str
    study_day: float | None
    value: float | None
    covariates: Mapping[str, str]


@dataclass(frozen=True)
class Estimate:
    """What results.csv says of one quantity: its statistics by name, under one analysis, visit, arm and comparator."""

    analysis_id: str
    parameter: str
    visit: str
    arm: str
    comparator: str
    statistics: Mapping[str, float | None]
    note: str

    def get(self, statistic: str) -> float | None:
        """A statistic by its name in results.csv; None where it was not computed."""
        return self.statistics.get(statistic)


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as results.csv names it: primary, secondary1, …; its PARAMCD and label."""

    name: str
    parameter: str
    label: str


@dataclass(frozen=True)
class Comparison:
    """The unblinded tables of a run, read once; raises ReportError where one is absent or unreadable."""

    path: Path

    @cached_property
    def observations(self) -> tuple[Observation, ...]:
        """Every row of analysis.csv."""
        path = self.path / "tables" / "analysis.csv"
        return tuple(_observation(row) for row in records(read_table(path, _ANALYSIS_COLUMNS)))

    @cached_property
    def estimates(self) -> tuple[Estimate, ...]:
        """results.csv gathered by quantity, in the table's order."""
        path = self.path / "statistics" / "results.csv"
        return tuple(_estimates(records(read_table(path, _RESULT_COLUMNS))))

    @cached_property
    def models(self) -> dict[str, Any]:
        """models.json: every fit, its evidence of convergence, and why a comparison is absent."""
        return read_json(self.path / "statistics" / "models.json")

    @property
    def absent(self) -> dict[str, str]:
        """Analyses that could not be made, each with its reason."""
        return dict(self.models.get("absent", {}))

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of results.csv, primary first."""
        labels = {row.parameter: row.label for row in self.observations}
        named = {row.analysis_id.split(".")[0]: row.parameter for row in self.estimates}
        found = [(name, code) for name, code in named.items() if name == "primary" or name.startswith("secondary")]
        return tuple(Endpoint(name, code, labels.get(code, code)) for name, code in found)

    @property
    def primary(self) -> Endpoint:
        """The endpoint that the protocol calls primary; raises ReportError where results.csv has none."""
        found = [endpoint for endpoint in self.endpoints if endpoint.name == "primary"]
        if not found:
            path = self.path / "statistics" / "results.csv"
            raise ReportError(str(path), "no analysis of the primary endpoint", "rows whose analysis_id is primary.…")
        return found[0]

    @property
    def assigned_arms(self) -> tuple[str, ...]:
        """The arms without those who have none."""
        return tuple(arm for arm in self.arms if arm != UNASSIGNED)

    def of(self, endpoint: Endpoint, kind: str) -> list[Estimate]:
        """The estimates of one analysis of an endpoint: "descriptive", "random_slope", "ancova", "mmrm"."""
        return [row for row in self.estimates if row.analysis_id == f"{endpoint.name}.{kind}"]

    def visitwise(self, endpoint: Endpoint) -> list[Estimate]:
        """The estimates of changes at visits: of the MMRM where there is one, else of the analyses of covariance."""
        return self.of(endpoint, "mmrm") or self.of(endpoint, "ancova")

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Arms in alphabetical order, patients without one last."""
        names = {row.arm for row in self.observations}
        return (*sorted(names - {UNASSIGNED}), *sorted(names & {UNASSIGNED}))


def _observation(row: Mapping[str, str]) -> Observation:
    where = f"analysis.csv: {row['USUBJID']} {row['AVISIT']}"
    return Observation(
        patient_id=row["USUBJID"],
        arm=row["TRT01P"] or UNASSIGNED,
        parameter=row["PARAMCD"],
        label=row["PARAM"],
        visit=row["AVISIT"],
        study_day=to_number(row["ADY"], f"{where}: ADY"),
        value=to_number(row["AVAL"], f"{where}: AVAL"),
        covariates={name: cell for name, cell in row.items() if name not in _ANALYSIS_COLUMNS},
    )


def _estimates(rows: Iterable[Mapping[str, str]]) -> Iterable[Estimate]:
    gathered: dict[tuple[str, ...], dict[str, float | None]] = {}
    notes: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        key = tuple(row[name] for name in _RESULT_COLUMNS[:5])
        statistic = row["statistic"]
        where = f"results.csv: {row['analysis_id']} {row['parameter']} {statistic}"
        gathered.setdefault(key, {})[statistic] = to_number(row["value"], where)
        if row.get("note"):
            notes.setdefault(key, []).append(row["note"])
    for key, statistics in gathered.items():
        note = "; ".join(dict.fromkeys(notes.get(key, [])))
        analysis_id, parameter, visit, arm, comparator = key
        yield Estimate(analysis_id, parameter, visit, arm, comparator, statistics, note)
