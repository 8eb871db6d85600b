"""All patients' rows into the tables of the trial."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trialscan.audit.json_file import read_json
from trialscan.lesions import BURDEN
from trialscan.pipeline.setting import Setting
from trialscan.pipeline.tables import (
    AnalysisSources,
    analysis_table,
    lesions_table,
    parameters,
    scans_table,
    trajectories_table,
    write_table,
)
from trialscan.pipeline.tasks import Task
from trialscan.study import NEW_LESION_COUNT, Patient, Protocol, Study

VERSION = 4


@dataclass(frozen=True)
class TableArguments:
    """Patients in the trial's order, the lesion classes, and what the analysis adds."""

    patients: tuple[Patient, ...]
    class_names: tuple[str, ...]
    sources: AnalysisSources


def tabulate_task(setting: Setting) -> Task:
    """The task of the whole trial."""
    study = setting.study
    sources = AnalysisSources(
        study_id=setting.protocol.study.id,
        measured=parameters(analysed_measures(setting.protocol)),
        arm_of={patient.patient_id: study.arms.of(patient.patient_id) for patient in study.patients},
        visit_number=_visit_numbers(setting),
        covariates=_covariates(study),
    )
    visits = {
        patient.patient_id: [[visit.visit, visit.study_day, visit.in_window] for visit in patient.visits]
        for patient in study.patients
    }
    return Task(
        kind="tabulate",
        subject="trial",
        version=VERSION,
        work=tabulate,
        arguments=TableArguments(study.patients, setting.class_names, sources),
        parameters={"sources": asdict(sources), "classes": setting.class_names, "visits": visits},
        needs=tuple(f"track {patient.patient_id}" for patient in study.patients),
        tolerant=True,
    )


def analysed_measures(protocol: Protocol) -> list[str]:
    """Measures of the protocol's endpoints, the primary one first, and of its further analyses."""
    endpoints, plan = protocol.endpoints, protocol.analysis
    return [
        *(endpoint.measure for endpoint in (endpoints.primary, *endpoints.secondary)),
        *(responder.measure for responder in plan.responders),
        *(count.measure for count in plan.counts),
        *(event.measure for event in plan.events),
    ]


def _visit_numbers(setting: Setting) -> dict[str, int]:
    """AVISITN: the place in the protocol's schedule; unscheduled visits follow by their earliest study day."""
    days: dict[str, int] = {}
    for patient in setting.study.patients:
        for visit in patient.visits:
            days[visit.visit] = min(visit.study_day, days.get(visit.visit, visit.study_day))
    scheduled = [planned.visit for planned in setting.protocol.visits.schedule]
    others = sorted(days.keys() - set(scheduled), key=lambda name: (days[name], name))
    return {name: number for number, name in enumerate((*scheduled, *others))}


def _covariates(study: Study) -> dict[str, dict[str, str]]:
    """Each covariate's value by patient, as the manifest gives it at the patient's first visit."""
    return {
        name: {patient.patient_id: patient.visits[0].covariates.get(name, "") for patient in study.patients}
        for name in study.covariate_names
    }


def tabulate(run: Path, arguments: TableArguments, failures: Mapping[str, str]) -> Sequence[str]:
    """Join every patient's `history.json`; a patient who could not be followed is there with the reason."""
    scans: list[dict[str, Any]] = []
    lesions: list[dict[str, Any]] = []
    courses: list[dict[str, Any]] = []
    for patient in arguments.patients:
        failure = failures.get(f"track {patient.patient_id}")
        if failure is not None:
            scans += [_failed_row(patient, number, failure) for number in range(len(patient.visits))]
            continue
        history = read_json(run / "patients" / patient.patient_id / "history.json")
        scans += _with_new_lesions(history)
        lesions += history["lesions"]
        courses += history["trajectory"]
    table = scans_table(scans, arguments.class_names)
    written = [
        *write_table(table, run / "tables" / "scans"),
        *write_table(lesions_table(lesions), run / "tables" / "lesions"),
        *write_table(trajectories_table(courses, arguments.class_names), run / "tables" / "trajectories"),
        *write_table(analysis_table(table, arguments.sources), run / "tables" / "analysis"),
    ]
    return [path.relative_to(run).as_posix() for path in written]


def _with_new_lesions(history: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The patient's scans with the lesions that are new at each; None at the first, and where none could be linked."""
    new = {row["visit"]: row["new_count"] for row in history["trajectory"] if row["course"] == BURDEN}
    return [{**scan, NEW_LESION_COUNT: new[scan["visit"]]} for scan in history["scans"]]


def _failed_row(patient: Patient, number: int, failure: str) -> dict[str, Any]:
    visit = patient.visits[number]
    return {
        "patient_id": patient.patient_id,
        "visit": visit.visit,
        "study_day": visit.study_day,
        "is_baseline": visit == patient.baseline,
        "in_window": visit.in_window,
        "status": "failed",
        "flags": "failed",
        "message": failure,
    }
