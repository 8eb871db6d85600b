"""Patients, their visits and scans, and, apart from them, the arms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIRST = "first"


@dataclass(frozen=True)
class Scan:
    """A scan as the manifest names it: absolute paths, and the line that named them, as `manifest.csv:14`."""

    path: Path
    organ_mask: Path | None
    lesion_mask: Path | None
    source: str


@dataclass(frozen=True)
class Visit:
    """One patient, one day, one scan.

    `study_day` is a whole number of days. `in_window` tells whether the visit took place within the days that the
    protocol allows; None where the visit is not scheduled or the patient has no baseline to count from.
    """

    patient_id: str
    visit: str
    study_day: int
    scan: Scan
    covariates: Mapping[str, str] = field(default_factory=dict)
    in_window: bool | None = None


@dataclass(frozen=True)
class Patient:
    """A patient's visits by rising study day, and which of them the protocol counts changes from."""

    patient_id: str
    visits: tuple[Visit, ...]
    baseline_visit: str = FIRST

    @property
    def baseline(self) -> Visit | None:
        """The first visit, or the one of the name that the protocol gives; None where the patient has none such."""
        if self.baseline_visit == FIRST:
            return self.visits[0] if self.visits else None
        return next((visit for visit in self.visits if visit.visit == self.baseline_visit), None)


@dataclass(frozen=True)
class Arms:
    """Which patient is in which arm. Kept apart from patients, so that nothing on the way to a scan knows it."""

    assignment: Mapping[str, str] = field(default_factory=dict)

    def of(self, patient_id: str) -> str | None:
        """The patient's arm, or None where it is not known."""
        return self.assignment.get(patient_id)

    @property
    def names(self) -> tuple[str, ...]:
        """The arms in alphabetical order."""
        return tuple(sorted(set(self.assignment.values())))


@dataclass(frozen=True)
class Study:
    """A trial's manifest, read and checked: patients by id, arms apart, and the names of the covariates."""

    patients: tuple[Patient, ...]
    arms: Arms
    manifest: Path
    covariate_names: tuple[str, ...]
